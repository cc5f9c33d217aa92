//! What the host itself says to an endpoint, as a frame.

use nestless_model::loopback::{Family, Farewell, Kind, Protocol, Tuple, probe as probe_tuple};
use std::net::IpAddr;

const TCP: u8 = 6;
const UDP: u8 = 17;
const FLAG_RST: u8 = 0x04;
const FLAG_ACK: u8 = 0x10;

/// What every kernel refuses: a segment of no connection.
pub(super) fn probe(family: Family) -> Vec<u8> {
    segment(&probe_tuple(family), 0, 0, FLAG_ACK)
}

pub(super) fn of(farewell: &Farewell) -> Vec<u8> {
    match *farewell {
        // Numbers that an open connection has only by chance: then it takes the segment for an old one.
        Farewell::Provoke { tuple, .. } => segment(&tuple, 0, 0, FLAG_ACK),
        Farewell::Refuse { tuple, number, kind, .. } => match (tuple.protocol, kind) {
            (Protocol::Udp, _) => unreachable(&tuple),
            (Protocol::Tcp, Kind::Opening) => segment(&tuple, 0, number.wrapping_add(1), FLAG_RST | FLAG_ACK),
            (Protocol::Tcp, Kind::Resuming) => segment(&tuple, number, 0, FLAG_RST),
        },
    }
}

fn segment(tuple: &Tuple, sequence: u32, acknowledged: u32, flags: u8) -> Vec<u8> {
    let mut tcp = ports(tuple);
    tcp.extend(sequence.to_be_bytes());
    tcp.extend(acknowledged.to_be_bytes());
    tcp.extend([5 << 4, flags, 0, 0, 0, 0, 0, 0]);
    let sum = checksum(&[&pseudo_header(tuple, TCP, tcp.len()), &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    frame(packet(tuple, TCP, &tcp))
}

/// "Port unreachable", quoting a datagram of the other direction.
fn unreachable(tuple: &Tuple) -> Vec<u8> {
    let asked = tuple.reversed();
    let mut udp = ports(&asked);
    udp.extend([0, 8, 0, 0]);
    let quoted = packet(&asked, UDP, &udp);
    let ipv6 = tuple.source.is_ipv6();
    let (protocol, kind, code) = if ipv6 { (58, 1, 4) } else { (1, 3, 3) };
    let mut icmp = vec![kind, code, 0, 0, 0, 0, 0, 0];
    icmp.extend(quoted);
    let pseudo = if ipv6 { pseudo_header(tuple, protocol, icmp.len()) } else { Vec::new() };
    let sum = checksum(&[&pseudo, &icmp]);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    frame(packet(tuple, protocol, &icmp))
}

fn ports(tuple: &Tuple) -> Vec<u8> {
    [tuple.source.port().to_be_bytes(), tuple.destination.port().to_be_bytes()].concat()
}

fn frame(packet: Vec<u8>) -> Vec<u8> {
    let ether_type: [u8; 2] = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] };
    [&[0xff; 6][..], &[0; 6], &ether_type, &packet].concat()
}

fn packet(tuple: &Tuple, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (tuple.source.ip(), tuple.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let bytes = (20 + payload.len()) as u16;
            let mut header = vec![0x45, 0];
            header.extend(bytes.to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            [&header[..], payload].concat()
        }
        (source, destination) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend((payload.len() as u16).to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(octets(source));
            header.extend(octets(destination));
            [&header[..], payload].concat()
        }
    }
}

fn pseudo_header(tuple: &Tuple, protocol: u8, bytes: usize) -> Vec<u8> {
    let mut header = octets(tuple.source.ip());
    header.extend(octets(tuple.destination.ip()));
    header.extend((bytes as u32).to_be_bytes());
    header.extend([0, 0, 0, protocol]);
    header
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071) over parts of even length, but for the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words.map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |low| u32::from(*low))).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
