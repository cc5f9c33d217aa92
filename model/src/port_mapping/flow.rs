//! Connections that the VM's kernel remembers. Rules are asked when a connection begins, and never again: one that was there
//! before the rules changed goes on as it began. A client that sends UDP from one port is one connection for ever.

use super::{PortMapping, Protocol};
use std::net::{IpAddr, SocketAddr};

/// A connection as the kernel remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Transport.
    pub protocol: Protocol,
    /// Whom the client asks.
    pub asked: SocketAddr,
    /// Who answers: another, where it was translated.
    pub answering: SocketAddr,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The mappings are in force from now on.
    Begun,
    /// They are no more.
    Ended,
}

/// Whether a connection would go on to where nobody waits for it any more, by the mappings of the pod with these addresses. It
/// has to be forgotten then, so that its next packet is a beginning. `is_own` tells which addresses are the VM's.
///
/// When mappings begin, TCP is left alone: a connection to the VM's own server on that port is worth more than the pod's claim,
/// and whoever was refused begins anew.
pub fn goes_astray(
    flow: &Flow,
    pod: &[IpAddr],
    mappings: &[PortMapping],
    occasion: Occasion,
    is_own: impl Fn(IpAddr) -> bool,
) -> bool {
    let of_protocol = mappings.iter().filter(|mapping| mapping.protocol == flow.protocol);
    match occasion {
        Occasion::Ended => {
            // Whatever port it was once led from.
            flow.asked != flow.answering && pod.contains(&flow.answering.ip())
        }
        Occasion::Begun if flow.protocol == Protocol::Tcp => false,
        Occasion::Begun => {
            let mut wanted = of_protocol.filter(|mapping| {
                mapping.host_port == flow.asked.port()
                    && mapping.is_for(flow.asked.ip())
                    && mapping.only_at().map_or_else(|| is_own(flow.asked.ip()), |at| at == flow.asked.ip())
            });
            wanted.any(|mapping| {
                let same_family = |address: &&IpAddr| address.is_ipv4() == flow.asked.is_ipv4();
                let address = pod.iter().find(same_family);
                address.is_some_and(|address| {
                    SocketAddr::new(*address, mapping.container_port) != flow.answering
                })
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(protocol: Protocol, asked: &str, answering: &str) -> Flow {
        Flow { protocol, asked: asked.parse().unwrap(), answering: answering.parse().unwrap() }
    }

    fn is_own(address: IpAddr) -> bool {
        ["10.0.0.2", "10.0.0.3", "fd00::2"].iter().any(|own| *own == address.to_string())
    }

    fn mapping(host_ip: &str) -> PortMapping {
        let host_ip = (!host_ip.is_empty()).then(|| host_ip.parse().unwrap());
        PortMapping { host_port: 53, container_port: 5353, protocol: Protocol::Udp, host_ip }
    }

    fn pod() -> [IpAddr; 2] {
        ["10.1.0.7", "fd01::7"].map(|text| text.parse().unwrap())
    }

    #[test]
    fn a_port_that_is_mapped_forgets_who_had_it_before() {
        let begun = |mapping: PortMapping, asked: &str, answering: &str| {
            let flow = flow(Protocol::Udp, asked, answering);
            goes_astray(&flow, &pod(), &[mapping], Occasion::Begun, is_own)
        };
        // To the pod before, to the VM itself, by either family.
        assert!(begun(mapping(""), "10.0.0.2:53", "10.1.0.6:5353"));
        assert!(begun(mapping(""), "10.0.0.2:53", "10.0.0.2:53"));
        assert!(begun(mapping("::"), "[fd00::2]:53", "[fd00::2]:53"));
        // To this pod; to another port, through the VM to somebody else, by a family or address that is not mapped.
        assert!(!begun(mapping(""), "10.0.0.2:53", "10.1.0.7:5353"));
        assert!(!begun(mapping(""), "10.0.0.2:54", "10.0.0.2:54"));
        assert!(!begun(mapping(""), "8.8.8.8:53", "8.8.8.8:53"));
        assert!(!begun(mapping("0.0.0.0"), "[fd00::2]:53", "[fd00::2]:53"));
        assert!(!begun(mapping("10.0.0.3"), "10.0.0.2:53", "10.0.0.2:53"));
        assert!(begun(mapping("10.0.0.3"), "10.0.0.3:53", "10.0.0.3:53"));
    }

    #[test]
    fn a_pod_that_goes_takes_what_led_to_it() {
        let ended = |protocol, asked: &str, answering: &str| {
            goes_astray(&flow(protocol, asked, answering), &pod(), &[], Occasion::Ended, is_own)
        };
        assert!(ended(Protocol::Udp, "10.0.0.2:53", "10.1.0.7:5353"));
        assert!(ended(Protocol::Tcp, "[fd00::2]:80", "[fd01::7]:80"));
        assert!(!ended(Protocol::Udp, "10.0.0.2:53", "10.1.0.6:5353"), "another pod's");
        assert!(!ended(Protocol::Tcp, "10.1.0.7:80", "10.1.0.7:80"), "the VM's own, to the pod's address");
    }

    #[test]
    fn a_tcp_connection_to_the_vm_is_not_cut() {
        let ssh = flow(Protocol::Tcp, "10.0.0.2:22", "10.0.0.2:22");
        let mapping = PortMapping { host_port: 22, protocol: Protocol::Tcp, ..mapping("") };
        assert!(!goes_astray(&ssh, &pod(), &[mapping], Occasion::Begun, is_own));
    }
}
