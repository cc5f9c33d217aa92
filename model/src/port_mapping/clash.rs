//! A port leads to one pod.

use super::PortMapping;
use crate::identity::AttachmentId;

/// A port that is asked for cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortClash {
    /// One pod wants it twice.
    #[error("hostPort {first} and hostPort {second} of one pod are the same port: ask for each port once")]
    Twice {
        /// What was asked for first.
        first: PortMapping,
        /// And then.
        second: PortMapping,
    },
    /// Another pod has it.
    #[error("hostPort {wanted} is taken: {held} leads to {holder}")]
    Taken {
        /// What was asked for.
        wanted: PortMapping,
        /// What the other has.
        held: PortMapping,
        /// Whose it is.
        holder: AttachmentId,
    },
}

/// Whether what one pod asks for goes together.
///
/// # Errors
/// [`PortClash::Twice`]
pub fn check_own(wanted: &[PortMapping]) -> Result<(), PortClash> {
    for (position, second) in wanted.iter().enumerate() {
        if let Some(first) = wanted[..position].iter().find(|first| is_same_port(first, second)) {
            return Err(PortClash::Twice { first: *first, second: *second });
        }
    }
    Ok(())
}

/// Whether nobody else has what a pod asks for.
///
/// # Errors
/// [`PortClash::Taken`]
pub fn check_free<'a>(
    wanted: &[PortMapping],
    held: impl IntoIterator<Item = (&'a AttachmentId, &'a [PortMapping])>,
) -> Result<(), PortClash> {
    for (holder, ports) in held {
        for wanted in wanted {
            if let Some(held) = ports.iter().find(|held| is_same_port(wanted, held)) {
                return Err(PortClash::Taken { wanted: *wanted, held: *held, holder: holder.clone() });
            }
        }
    }
    Ok(())
}

/// Whether some packet would be for both.
fn is_same_port(one: &PortMapping, other: &PortMapping) -> bool {
    let same_address = match (one.host_ip, other.host_ip) {
        (Some(one), Some(other)) => {
            one.is_ipv4() == other.is_ipv4()
                && (one == other || one.is_unspecified() || other.is_unspecified())
        }
        _ => true,
    };
    same_address && one.protocol == other.protocol && one.host_port == other.host_port
}

#[cfg(test)]
mod tests {
    use super::super::Protocol;
    use super::*;
    use crate::identity::{ContainerId, InterfaceName};

    fn port(host_ip: &str, host_port: u16, protocol: Protocol) -> PortMapping {
        let host_ip = (!host_ip.is_empty()).then(|| host_ip.parse().unwrap());
        PortMapping { host_port, container_port: 80, protocol, host_ip }
    }

    #[test]
    fn ports_are_the_same_where_a_packet_could_be_for_both() {
        for (one, other, same) in [
            ("", "", true),
            ("", "10.0.0.1", true),
            ("0.0.0.0", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0", "::", false),
            ("::", "fd00::1", true),
            ("10.0.0.1", "fd00::1", false),
        ] {
            let (one, other) = (port(one, 80, Protocol::Tcp), port(other, 80, Protocol::Tcp));
            assert_eq!(check_own(&[one, other]).is_err(), same, "{one} and {other}");
            assert_eq!(check_own(&[other, one]).is_err(), same, "{other} and {one}");
        }
        let (tcp, udp) = (port("", 53, Protocol::Tcp), port("", 53, Protocol::Udp));
        check_own(&[tcp, udp, port("", 54, Protocol::Tcp)]).unwrap();
    }

    #[test]
    fn who_has_a_port_is_named() {
        let holder = AttachmentId {
            container: ContainerId::new("web").unwrap(),
            interface: InterfaceName::new("eth0").unwrap(),
        };
        let held = [port("", 8080, Protocol::Tcp)];
        check_free(&[port("", 8080, Protocol::Udp)], [(&holder, &held[..])]).unwrap();
        let clash = check_free(&[port("10.0.0.1", 8080, Protocol::Tcp)], [(&holder, &held[..])]).unwrap_err();
        assert_eq!(clash.to_string(), "hostPort 10.0.0.1:8080/tcp is taken: 8080/tcp leads to web/eth0");
        let twice = check_own(&[held[0], held[0]]).unwrap_err();
        assert!(
            twice.to_string().starts_with("hostPort 8080/tcp and hostPort 8080/tcp of one pod"),
            "{twice}"
        );
    }
}
