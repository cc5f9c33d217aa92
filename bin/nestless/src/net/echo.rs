//! One ICMP echo, as `ping -c 1` sends it: a kernel answers it without any program.

use anyhow::{Context as _, bail};
use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recvfrom, sendto,
        setsockopt, socket, sockopt,
    },
    time::{TimeVal, TimeValLike as _},
};
use std::{
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

/// RFC 792 and RFC 4443: type of a request, and of its answer.
const V4: (u8, u8) = (8, 0);
const V6: (u8, u8) = (128, 129);
/// One that is lost is sent again.
const TRIES: u16 = 5;
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks `target`, from the namespace of the calling thread, until it answers. Blocks for some seconds at most.
///
/// # Errors
/// When it does not.
pub(crate) fn echo(target: IpAddr) -> anyhow::Result<()> {
    let (family, protocol, (request, reply)) = match target {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, V4),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, V6),
    };
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
        .context("open a socket for ICMP (this needs CAP_NET_RAW)")?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(200))?;
    let id = u16::try_from(std::process::id() & 0xffff).unwrap_or_default();
    let address = SockaddrStorage::from(SocketAddr::new(target, 0));
    for sequence in 1..=TRIES {
        let packet = message(request, id, sequence);
        sendto(socket.as_raw_fd(), &packet, &address, MsgFlags::empty())
            .with_context(|| format!("send an echo request to {target}"))?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let mut buffer = [0; 2048];
            let Ok((length, _)) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut buffer) else {
                continue;
            };
            if answers(&buffer[..length], target.is_ipv4(), reply, id) {
                return Ok(());
            }
        }
    }
    bail!("{target} does not answer an echo request")
}

/// Type, code, checksum, id, sequence. For IPv6 the kernel puts the checksum in (RFC 3542, section 3.1).
fn message(kind: u8, id: u16, sequence: u16) -> [u8; 8] {
    let ([i, d], [s, q]) = (id.to_be_bytes(), sequence.to_be_bytes());
    let mut message = [kind, 0, 0, 0, i, d, s, q];
    let [high, low] = checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&[high, low]);
    message
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

/// Whether a received packet answers a request with this id. A raw IPv4 socket shows the IP header too.
fn answers(packet: &[u8], v4: bool, reply: u8, id: u16) -> bool {
    let header = if v4 { packet.first().map_or(0, |first| usize::from(first & 0xf) * 4) } else { 0 };
    let Some(message) = packet.get(header..) else { return false };
    message.first() == Some(&reply) && message.get(4..6) == Some(&id.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn a_message_sums_up_to_nothing() {
        for (id, sequence) in [(0, 0), (7, 1), (0xffff, 0xffff)] {
            assert_eq!(checksum(&message(8, id, sequence)), 0);
        }
    }

    #[test]
    fn an_answer_is_known_behind_its_header() {
        let answer = message(0, 7, 1);
        let mut packet = vec![0x45; 20];
        packet.extend(answer);
        assert!(answers(&packet, true, 0, 7) && answers(&answer, false, 0, 7));
        assert!(!answers(&packet, true, 0, 8) && !answers(&packet, true, 8, 7));
        for cut in 0..packet.len() - 4 {
            answers(&packet[..cut], true, 0, 7);
        }
        assert!(!answers(&[0x4f], true, 0, 7) && !answers(&[], true, 0, 7));
    }

    /// A namespace of the test's own: its `lo` answers when it is up.
    #[test]
    fn a_kernel_answers_and_nobody_does_not() {
        let namespace = nestless_support::netns::Namespace::anonymous().unwrap();
        namespace
            .run_blocking(|| {
                let lo = |state: &str| {
                    let told = std::process::Command::new("ip").args(["link", "set", "lo", state]).status();
                    assert!(told.unwrap().success());
                };
                lo("up");
                echo(Ipv4Addr::LOCALHOST.into()).unwrap();
                echo(Ipv6Addr::LOCALHOST.into()).unwrap();
                let error = echo("192.0.2.1".parse().unwrap()).unwrap_err();
                assert!(format!("{error:#}").contains("192.0.2.1"), "{error:#}");
            })
            .unwrap();
    }
}
