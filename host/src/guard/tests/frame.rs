//! Frames, honest and forged.

use super::world::{MAC, OTHER_MAC};
use std::net::{Ipv4Addr, Ipv6Addr};

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const PIM: u8 = 103;
const VRRP: u8 = 112;
/// The option that every IGMP message has.
const ROUTER_ALERT: [u8; 4] = [0x94, 4, 0, 0];
pub(super) const UDP: u8 = 17;
pub(super) const TCP: u8 = 6;
pub(super) const ICMPV6: u8 = 58;

pub(super) fn ethernet(source: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[0xff; 6], &source[..], &ether_type.to_be_bytes(), payload].concat()
}

/// From the NIC's own address.
pub(super) fn own(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(MAC, ether_type, payload)
}

pub(super) fn arp(operation: u16, sender_mac: [u8; 6], sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4];
    let packet = [&head[..], &operation.to_be_bytes(), &sender_mac, &sender, &[0; 6], &target].concat();
    own(0x0806, &packet)
}

/// `fragment` is the field: flags and offset in units of 8 bytes.
pub(super) fn ipv4(source: &str, protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let source: Ipv4Addr = source.parse().unwrap();
    let header_bytes = 20 + options.len();
    let mut head = vec![0x40 | (header_bytes / 4) as u8, 0];
    head.extend(((header_bytes + payload.len()) as u16).to_be_bytes());
    head.extend([0, 7]);
    head.extend(fragment.to_be_bytes());
    head.extend([64, protocol, 0, 0]);
    head.extend(source.octets());
    head.extend([10, 88, 0, 3]);
    own(0x0800, &[&head[..], options, payload].concat())
}

pub(super) fn udp(source_port: u16) -> Vec<u8> {
    [&source_port.to_be_bytes()[..], &[0, 99, 0, 8, 0, 0]].concat()
}

pub(super) fn ipv6(source: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().unwrap();
    let mut head = vec![0x60, 0, 0, 0];
    head.extend((payload.len() as u16).to_be_bytes());
    head.extend([next, 255]);
    head.extend(source.octets());
    head.extend("ff02::1".parse::<Ipv6Addr>().unwrap().octets());
    own(0x86dd, &[&head[..], payload].concat())
}

/// An extension header of 8 bytes (hop-by-hop, destination or routing) in front of `rest`.
pub(super) fn extension(next: u8, rest: &[u8]) -> Vec<u8> {
    [&[next, 0, 1, 4, 0, 0, 0, 0], rest].concat()
}

/// A fragment header; `field` is offset and more-fragments bit as they stand in it.
pub(super) fn fragment(next: u8, field: u16, rest: &[u8]) -> Vec<u8> {
    [&[next, 0][..], &field.to_be_bytes(), &[0, 0, 0, 1], rest].concat()
}

/// A neighbour solicitation (135) or advertisement (136).
pub(super) fn neighbour(kind: u8, target: &str, options: &[u8]) -> Vec<u8> {
    let target: Ipv6Addr = target.parse().unwrap();
    [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), options].concat()
}

/// Any other ICMPv6 message.
pub(super) fn icmpv6(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0][..], body].concat()
}

/// Of any version: what comes behind the type is not judged.
fn igmp(kind: u8) -> Vec<u8> {
    [&[kind, 0, 0, 0][..], &[0; 8]].concat()
}

/// Of MLD (RFC 2710), for all groups, to be answered at once, as a bridge believes it: with a router alert, from the link-local
/// address, and with a checksum.
pub(super) fn mld_query() -> Vec<u8> {
    let (hop_limit, all_nodes) = (1, "ff02::1".parse::<Ipv6Addr>().unwrap());
    let source: Ipv6Addr = "fe80::ff:fe00:1".parse().unwrap();
    let mut query = [&[130, 0, 0, 0, 0, 1, 0, 0][..], &[0; 16]].concat();
    let pseudo =
        [&source.octets()[..], &all_nodes.octets(), &[0, 0, 0, 24, 0, 0, 0, ICMPV6], &query].concat();
    let sum: u32 = pseudo.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
    query[2..4].copy_from_slice(&(!(fold(fold(sum)) as u16)).to_be_bytes());
    let router_alert = [&[ICMPV6, 0, 5, 2, 0, 0, 1, 0][..], &query].concat();
    let mut frame = ipv6(&source.to_string(), 0, &router_alert);
    frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    frame[14 + 7] = hop_limit;
    frame
}

/// Of fd00::9, from another NIC.
pub(super) fn solicitation() -> Vec<u8> {
    let mut frame = ipv6("fd00::3", ICMPV6, &neighbour(135, "fd00::9", &link_layer(1, OTHER_MAC)));
    frame[..6].copy_from_slice(&[0x33, 0x33, 0xff, 0, 0, 9]);
    frame[6..12].copy_from_slice(&OTHER_MAC);
    frame[14 + 24..14 + 40].copy_from_slice(&"ff02::1:ff00:9".parse::<Ipv6Addr>().unwrap().octets());
    frame
}

pub(super) fn link_layer(kind: u8, mac: [u8; 6]) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}

/// Each frame that the rules of `world::rules` decide: its name, itself, and why it is dropped, or "".
pub(super) fn cases() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let local = "fe80::ff:fe00:1";
    let hidden = |next, inner: &[u8]| ipv6("fd00::2", 60, &extension(next, inner));
    let chain =
        |count: usize, inner: &[u8]| (1..count).fold(extension(UDP, inner), |rest, _| extension(60, &rest));
    let own_source = link_layer(1, MAC);
    vec![
        ("own UDP", ipv4("10.88.0.2", UDP, 0, &[], &udp(1000)), ""),
        ("own TCP with IP options", ipv4("10.88.0.2", TCP, 0, &[1; 8], &[0; 20]), ""),
        (
            "forged MAC",
            ethernet(OTHER_MAC, 0x0800, &ipv4("10.88.0.2", UDP, 0, &[], &udp(1))[14..]),
            "source_mac",
        ),
        ("forged IPv4", ipv4("10.88.0.3", UDP, 0, &[], &udp(1000)), "source_ipv4"),
        ("DHCP client without address", ipv4("0.0.0.0", UDP, 0, &[], &udp(68)), "source_ipv4"),
        ("DHCP server", ipv4("10.88.0.2", UDP, 0, &[], &udp(67)), "dhcp_server"),
        ("DHCP server behind options", ipv4("10.88.0.2", UDP, 0, &[1; 40], &udp(67)), "dhcp_server"),
        ("DHCP server's first fragment", ipv4("10.88.0.2", UDP, 0x2000, &[], &udp(67)), "dhcp_server"),
        ("first fragment without ports", ipv4("10.88.0.2", UDP, 0x2000, &[], &[0, 67]), "malformed"),
        ("later fragment", ipv4("10.88.0.2", UDP, 0x2001, &[], &[0; 8]), ""),
        ("later fragment, forged", ipv4("10.88.0.3", UDP, 1, &[], &[0; 8]), "source_ipv4"),
        ("IPv4 cut off", own(0x0800, &[0x45, 0, 0, 20]), "malformed"),
        ("ARP request", arp(1, MAC, [10, 88, 0, 2], [10, 88, 0, 3]), ""),
        ("ARP reply", arp(2, MAC, [10, 88, 0, 2], [10, 88, 0, 3]), ""),
        ("ARP probe", arp(1, MAC, [0; 4], [10, 88, 0, 2]), ""),
        ("ARP probe of another's", arp(1, MAC, [0; 4], [10, 88, 0, 3]), "arp"),
        ("ARP reply of nobody", arp(2, MAC, [0; 4], [10, 88, 0, 2]), "arp"),
        ("ARP with forged sender", arp(2, MAC, [10, 88, 0, 3], [10, 88, 0, 2]), "arp"),
        ("ARP with forged hardware", arp(2, OTHER_MAC, [10, 88, 0, 2], [10, 88, 0, 3]), "arp"),
        ("RARP operation", arp(3, MAC, [10, 88, 0, 2], [10, 88, 0, 3]), "arp"),
        ("ARP cut off", own(0x0806, &[0, 1, 8, 0, 6, 4, 0, 1]), "malformed"),
        (
            "VLAN tag",
            own(0x8100, &[&[0, 5][..], &ipv4("10.88.0.2", UDP, 0, &[], &udp(1))[12..]].concat()),
            "ether_type",
        ),
        (
            "double tag",
            own(0x88a8, &[0, 5, 0x81, 0, 0, 6, 8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            "ether_type",
        ),
        ("spanning tree", own(38, &[0x42; 38]), "ether_type"),
        ("LLDP", own(0x88cc, &[0; 46]), "ether_type"),
        ("own IPv6", ipv6("fd00::2", TCP, &[0; 20]), ""),
        ("own link-local", ipv6(local, UDP, &udp(1000)), ""),
        ("forged IPv6", ipv6("fd00::3", UDP, &udp(1000)), "source_ipv6"),
        ("forged link-local", ipv6("fe80::3", UDP, &udp(1000)), "source_ipv6"),
        ("UDP from ::", ipv6("::", UDP, &udp(546)), "source_ipv6"),
        ("DHCPv6 client", ipv6(local, UDP, &udp(546)), ""),
        ("DHCPv6 server", ipv6(local, UDP, &udp(547)), "dhcp_server"),
        ("DHCPv6 server behind a header", hidden(UDP, &udp(547)), "dhcp_server"),
        ("DHCPv6 server's first fragment", ipv6("fd00::2", 44, &fragment(UDP, 1, &udp(547))), "dhcp_server"),
        ("neighbour solicitation", ipv6("fd00::2", ICMPV6, &neighbour(135, "fd00::9", &own_source)), ""),
        (
            "solicitation, forged option",
            ipv6("fd00::2", ICMPV6, &neighbour(135, "fd00::9", &link_layer(1, OTHER_MAC))),
            "neighbour",
        ),
        (
            "solicitation, forged second option",
            ipv6(
                "fd00::2",
                ICMPV6,
                &neighbour(135, "fd00::9", &[own_source.clone(), link_layer(1, OTHER_MAC)].concat()),
            ),
            "neighbour",
        ),
        (
            "solicitation, empty option",
            ipv6("fd00::2", ICMPV6, &neighbour(135, "fd00::9", &[1, 0, 0, 0, 0, 0, 0, 0])),
            "malformed",
        ),
        (
            "solicitation, option cut off",
            ipv6("fd00::2", ICMPV6, &neighbour(135, "fd00::9", &[14, 2, 0, 0, 0, 0, 0, 0])),
            "malformed",
        ),
        ("duplicate address detection", ipv6("::", ICMPV6, &neighbour(135, "fd00::2", &[])), ""),
        ("the same with a nonce", ipv6("::", ICMPV6, &neighbour(135, local, &[14, 1, 1, 2, 3, 4, 5, 6])), ""),
        ("detection of another's", ipv6("::", ICMPV6, &neighbour(135, "fd00::3", &[])), "neighbour"),
        (
            "detection with an address",
            ipv6("::", ICMPV6, &neighbour(135, "fd00::2", &own_source)),
            "neighbour",
        ),
        (
            "neighbour advertisement",
            ipv6("fd00::2", ICMPV6, &neighbour(136, "fd00::2", &link_layer(2, MAC))),
            "",
        ),
        (
            "advertisement of another's",
            ipv6("fd00::2", ICMPV6, &neighbour(136, "fd00::3", &link_layer(2, MAC))),
            "neighbour",
        ),
        (
            "advertisement, forged option",
            ipv6("fd00::2", ICMPV6, &neighbour(136, "fd00::2", &link_layer(2, OTHER_MAC))),
            "neighbour",
        ),
        ("advertisement from ::", ipv6("::", ICMPV6, &neighbour(136, "fd00::2", &[])), "source_ipv6"),
        ("advertisement behind a header", hidden(ICMPV6, &neighbour(136, "fd00::3", &[])), "neighbour"),
        (
            "advertisement in an atomic fragment",
            ipv6("fd00::2", 44, &fragment(ICMPV6, 0, &neighbour(136, "fd00::2", &[]))),
            "neighbour",
        ),
        ("router solicitation", ipv6(local, ICMPV6, &icmpv6(133, &own_source)), ""),
        (
            "router solicitation, forged option",
            ipv6(local, ICMPV6, &icmpv6(133, &link_layer(1, OTHER_MAC))),
            "neighbour",
        ),
        ("router advertisement", ipv6(local, ICMPV6, &icmpv6(134, &[0; 8])), "router"),
        (
            "router advertisement behind headers",
            ipv6(local, 0, &extension(60, &extension(ICMPV6, &icmpv6(134, &[0; 8])))),
            "router",
        ),
        (
            "router advertisement's fragment",
            ipv6(local, 44, &fragment(ICMPV6, 1, &icmpv6(134, &[0; 8]))),
            "router",
        ),
        (
            "header chain cut by a fragment",
            ipv6(local, 44, &fragment(60, 1, &[58, 1, 0, 0, 0, 0, 0, 0])),
            "malformed",
        ),
        (
            "the rest behind the packet's end",
            {
                let mut frame = ipv6(local, 44, &fragment(60, 1, &[58, 0, 0, 0, 0, 0, 0, 0]));
                frame.extend(icmpv6(128, &[0; 8]));
                frame
            },
            "malformed",
        ),
        (
            "two fragment headers",
            ipv6(local, 44, &fragment(44, 1, &fragment(UDP, 0, &udp(1000)))),
            "malformed",
        ),
        ("later IPv6 fragment", ipv6("fd00::2", 44, &fragment(UDP, 8, &[0; 8])), ""),
        ("redirect", ipv6(local, ICMPV6, &icmpv6(137, &[0; 32])), "router"),
        ("echo request", ipv6("fd00::2", ICMPV6, &icmpv6(128, &[0; 8])), ""),
        ("MLD report", ipv6(local, 0, &extension(ICMPV6, &icmpv6(143, &[0; 8]))), ""),
        ("MLD report from ::", ipv6("::", 0, &extension(ICMPV6, &icmpv6(143, &[0; 8]))), ""),
        ("MLD done", ipv6(local, 0, &extension(ICMPV6, &icmpv6(132, &[0; 16]))), ""),
        ("MLD query from ::", ipv6("::", 0, &extension(ICMPV6, &icmpv6(130, &[0; 16]))), "router"),
        ("MLD query", ipv6(local, 0, &extension(ICMPV6, &icmpv6(130, &[0; 16]))), "router"),
        ("MLD query without a header", ipv6(local, ICMPV6, &icmpv6(130, &[0; 16])), "router"),
        (
            "MLD query behind two headers",
            ipv6("fd00::2", 0, &extension(60, &extension(ICMPV6, &icmpv6(130, &[0; 20])))),
            "router",
        ),
        (
            "MLD query in an atomic fragment",
            ipv6(local, 0, &extension(44, &fragment(ICMPV6, 0, &icmpv6(130, &[0; 16])))),
            "router",
        ),
        (
            "MLD query's first fragment",
            ipv6(local, 0, &extension(44, &fragment(ICMPV6, 1, &icmpv6(130, &[0; 16])))),
            "router",
        ),
        (
            "multicast router advertisement",
            ipv6(local, 0, &extension(ICMPV6, &icmpv6(151, &[0; 8]))),
            "router",
        ),
        ("multicast router solicitation", ipv6(local, 0, &extension(ICMPV6, &icmpv6(152, &[]))), "router"),
        ("multicast router termination", ipv6(local, 0, &extension(ICMPV6, &icmpv6(153, &[]))), "router"),
        ("router renumbering", ipv6(local, ICMPV6, &icmpv6(138, &[0; 8])), "router"),
        ("PIM hello by IPv6", ipv6(local, PIM, &[0x20, 0, 0, 0]), "router"),
        ("PIM hello by IPv6 behind a header", ipv6(local, 60, &extension(PIM, &[0x20, 0, 0, 0])), "router"),
        ("PIM hello's later fragment", ipv6(local, 44, &fragment(PIM, 8, &[0x20, 0, 0, 0])), "router"),
        ("VRRP by IPv6", ipv6(local, VRRP, &[0x31; 16]), "router"),
        ("IGMP report", ipv4("10.88.0.2", IGMP, 0, &ROUTER_ALERT, &igmp(0x22)), ""),
        ("IGMP report of version 2", ipv4("10.88.0.2", IGMP, 0, &ROUTER_ALERT, &igmp(0x16)), ""),
        ("IGMP leave", ipv4("10.88.0.2", IGMP, 0, &ROUTER_ALERT, &igmp(0x17)), ""),
        ("IGMP query", ipv4("10.88.0.2", IGMP, 0, &[], &igmp(0x11)), "router"),
        ("IGMP query with router alert", ipv4("10.88.0.2", IGMP, 0, &ROUTER_ALERT, &igmp(0x11)), "router"),
        ("IGMP query behind options", ipv4("10.88.0.2", IGMP, 0, &[1; 40], &igmp(0x11)), "router"),
        ("IGMP query's first fragment", ipv4("10.88.0.2", IGMP, 0x2000, &[], &igmp(0x11)), "router"),
        ("IGMP report's later fragment", ipv4("10.88.0.2", IGMP, 1, &[], &igmp(0x16)), "router"),
        ("IGMP cut off", ipv4("10.88.0.2", IGMP, 0, &[], &[]), "malformed"),
        ("DVMRP", ipv4("10.88.0.2", IGMP, 0, &[], &igmp(0x13)), "router"),
        ("PIM of version 1", ipv4("10.88.0.2", IGMP, 0, &[], &igmp(0x14)), "router"),
        ("multicast router advertisement by IGMP", ipv4("10.88.0.2", IGMP, 0, &[], &igmp(0x30)), "router"),
        ("PIM hello", ipv4("10.88.0.2", PIM, 0, &[], &[0x20, 0, 0, 0]), "router"),
        ("PIM, later fragment", ipv4("10.88.0.2", PIM, 1, &[], &[0x20, 0, 0, 0]), "router"),
        ("VRRP", ipv4("10.88.0.2", VRRP, 0, &[], &[0x21; 16]), "router"),
        ("ping", ipv4("10.88.0.2", ICMP, 0, &[], &[8, 0, 0, 0, 0, 0, 0, 0]), ""),
        ("ping's later fragment", ipv4("10.88.0.2", ICMP, 1, &[], &[5; 8]), ""),
        ("ICMP redirect", ipv4("10.88.0.2", ICMP, 0, &[], &[5; 8]), "router"),
        ("ICMP router advertisement", ipv4("10.88.0.2", ICMP, 0, &[], &[9; 8]), "router"),
        ("as many headers as there may be", ipv6("fd00::2", 60, &chain(8, &udp(1000))), ""),
        ("one header too many", ipv6("fd00::2", 60, &chain(9, &udp(1000))), "malformed"),
        ("IPv6 cut off", own(0x86dd, &[0x60, 0, 0, 0, 0, 0]), "malformed"),
        (
            "payload longer than the frame",
            {
                let mut frame = ipv6("fd00::2", UDP, &udp(1000));
                frame.truncate(frame.len() - 1);
                frame
            },
            "malformed",
        ),
    ]
}
