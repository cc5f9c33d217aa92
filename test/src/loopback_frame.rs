//! Frames as a fraction sends them to the host, and what its root user may send instead.

use crate::frame::{self, BROADCAST, UDP, arp, ipv4, ipv6};
use std::net::{Ipv4Addr, Ipv6Addr};

/// 127.0.0.1.
pub const LO: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Not on any localhost.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const TCP: u8 = 6;
const RST: u8 = 4;

/// A frame as steer makes it.
pub fn steered(ether_type: u16, packet: &[u8]) -> Vec<u8> {
    [&BROADCAST[..], &[0; 6], &ether_type.to_be_bytes(), packet].concat()
}

/// A packet with UDP.
pub fn datagram(source: Ipv4Addr, destination: Ipv4Addr, ports: (u16, u16)) -> Vec<u8> {
    ipv4(source, destination, UDP, &frame::udp(ports, b"forged"))
}

/// A packet with TCP, of these flags and no data.
pub fn segment((from, to): (u16, u16), flags: u8) -> Vec<u8> {
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    let rest = [0, 0, 0, 9, 0, 0, 0, 9, 5 << 4, flags, 0, 0, 0, 0, 0, 0];
    ipv4(LO, LO, TCP, &[&ports[..], &rest].concat())
}

/// Frames that nobody may hear, each with the counter that it belongs to. What is honest in them is from port 1000 to 2000.
pub fn forged() -> Vec<(&'static str, Vec<u8>)> {
    let good = datagram(LO, LO, (1000, 2000));
    let mut cut = good.clone();
    cut.truncate(22);
    let mut long = good.clone();
    long[2..4].copy_from_slice(&9000_u16.to_be_bytes());
    let mut later = good.clone();
    later[6..8].copy_from_slice(&7_u16.to_be_bytes());
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    vec![
        ("foreign", steered(0x0806, &arp(1, [2, 0, 0, 0, 0, 1], LO, LO))),
        ("foreign", steered(0x88b5, b"an experiment")),
        ("foreign", steered(0x0800, &datagram(OUTSIDE, LO, (1000, 2000)))),
        ("foreign", steered(0x0800, &datagram(LO, OUTSIDE, (1000, 2000)))),
        ("foreign", steered(0x86dd, &ipv6(link_local, UDP, &frame::udp((1000, 2000), b"forged")))),
        ("foreign", steered(0x86dd, &ipv6(Ipv6Addr::LOCALHOST, UDP, &frame::udp((1000, 2000), b"forged")))),
        ("foreign", [&BROADCAST[..], &[2, 0, 0, 0, 0, 9], &[8, 0], &good].concat()),
        ("foreign", [&[2, 0, 0, 0, 0, 9][..], &[0; 6], &[8, 0], &good].concat()),
        ("foreign", steered(0x8100, &[&[0, 5, 8, 0][..], &good].concat())),
        ("unsupported", steered(0x0800, &ipv4(LO, LO, 1, &[8, 0, 0, 0, 0, 1, 0, 1]))),
        ("unsupported", steered(0x0800, &ipv4(LO, LO, 132, &[0; 12]))),
        ("malformed", steered(0x0800, &cut)),
        ("malformed", steered(0x0800, &long)),
        ("fragment", steered(0x0800, &later)),
        ("stray", steered(0x0800, &segment((1000, 2000), RST))),
    ]
}
