//! The model's packets as frames, in all the forms that IP allows.

use nestless_model::loopback::{Body, FragmentId, Packet, Protocol, Tuple};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;
const FRAGMENT_HEADER: u8 = 44;

/// What the rules do not look at.
#[derive(Clone, Debug)]
pub(super) struct Form {
    /// Words of IPv4 options, of the packet and of a quoted one.
    pub(super) option_words: usize,
    /// Extension headers of IPv6: 0, 43, 60 (RFC 8200), 51 (RFC 4302).
    pub(super) extensions: Vec<u8>,
    pub(super) payload: Vec<u8>,
    /// Behind the packet, as of a NIC that fills short frames.
    pub(super) padding: usize,
    /// Other flags of TCP; other codes of errors.
    pub(super) noise: u8,
    /// An IPv6 packet that is its own only fragment (RFC 6946).
    pub(super) atomic: bool,
}

pub(super) fn form() -> impl Strategy<Value = Form> {
    let extensions = prop::collection::vec(prop::sample::select(vec![0, 43, 51, 60]), 0..4);
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    (0..=10usize, extensions, payload, 0..30usize, any::<u8>(), any::<bool>()).prop_map(
        |(option_words, extensions, payload, padding, noise, atomic)| Form {
            option_words,
            extensions,
            payload,
            padding,
            noise,
            atomic,
        },
    )
}

/// What tells datagrams apart in the kernel's table, as one number of the model's.
pub(super) fn fragment_id(tuple: &Tuple, number: u8) -> FragmentId {
    let last = |end: SocketAddr| match end.ip() {
        IpAddr::V4(v4) => u32::from(v4.octets()[3]),
        IpAddr::V6(_) => 0,
    };
    let protocol = u32::from(tuple.protocol == Protocol::Udp);
    FragmentId(last(tuple.source) << 24 | last(tuple.destination) << 16 | protocol << 8 | u32::from(number))
}

/// `of` gives the addresses, and is all there is to a later fragment.
pub(super) fn frame(packet: &Packet, of: &Tuple, form: &Form) -> Vec<u8> {
    let number = |id: FragmentId| id.0 as u8;
    let (payload, protocol) = match packet.body {
        Body::LaterFragment { .. } => (form.payload.clone(), protocol_number(of.protocol)),
        Body::Error { quoted, sequence, unreachable } => error(&quoted, sequence, unreachable, form),
        _ => (upper(packet, form), protocol_number(of.protocol)),
    };
    let fragment = match (packet.body, packet.first_fragment) {
        (Body::LaterFragment { id }, _) => Some((number(id), 185 << 3 | u16::from(form.noise & 1))),
        (_, Some(id)) => Some((number(id), 1)),
        _ => form.atomic.then_some((0, 0)),
    };
    let ether_type: [u8; 2] = if of.source.is_ipv4() { [8, 0] } else { [0x86, 0xdd] };
    let packet = ip(of, protocol, fragment, &payload, form);
    [&[0xff; 6][..], &[0; 6], &ether_type, &packet, &vec![0xee; form.padding]].concat()
}

pub(super) fn protocol_number(protocol: Protocol) -> u8 {
    if protocol == Protocol::Tcp { TCP } else { UDP }
}

fn upper(packet: &Packet, form: &Form) -> Vec<u8> {
    let noise = form.noise & (FIN | PSH | URG);
    match packet.body {
        Body::Syn { tuple, sequence } => tcp(&tuple, sequence, 77, SYN | noise, form),
        Body::SynAck { tuple, acknowledged } => tcp(&tuple, 99, acknowledged, SYN | ACK | noise, form),
        Body::Reset { tuple, acknowledged } => {
            let flags = RST | noise | form.noise & SYN | if acknowledged.is_some() { ACK } else { 0 };
            tcp(&tuple, 99, acknowledged.unwrap_or(6), flags, form)
        }
        Body::Segment { tuple, acknowledged, end } => {
            let sequence = end.map_or(99, |end| end.wrapping_sub(form.payload.len() as u32 + 1));
            let fin = if end.is_some() { FIN } else { 0 };
            tcp(&tuple, sequence, acknowledged, noise & !FIN | fin | form.noise & ACK, form)
        }
        Body::Datagram { tuple } => {
            let mut udp = ports(&tuple);
            udp.extend((8 + form.payload.len() as u16).to_be_bytes());
            [&udp[..], &[0, 0], &form.payload].concat()
        }
        Body::Error { .. } | Body::LaterFragment { .. } => unreachable!("made elsewhere"),
    }
}

fn ports(tuple: &Tuple) -> Vec<u8> {
    [tuple.source.port().to_be_bytes(), tuple.destination.port().to_be_bytes()].concat()
}

fn tcp(tuple: &Tuple, sequence: u32, acknowledged: u32, flags: u8, form: &Form) -> Vec<u8> {
    let numbers = [sequence.to_be_bytes(), acknowledged.to_be_bytes()].concat();
    [&ports(tuple)[..], &numbers, &[5 << 4, flags, 1, 0, 0, 0, 0, 0], &form.payload].concat()
}

/// An error message that quotes the start of a packet, cut off behind its sequence number or later.
fn error(quoted: &Tuple, sequence: u32, unreachable: bool, form: &Form) -> (Vec<u8>, u8) {
    let mut start = ports(quoted);
    match quoted.protocol {
        Protocol::Tcp => start.extend(sequence.to_be_bytes()),
        Protocol::Udp => start.extend([0, 8, 0, 0]),
    }
    start.extend(&form.payload);
    let packet = ip(quoted, protocol_number(quoted.protocol), None, &start, form);
    let noise = usize::from(form.noise);
    let (protocol, kind, code) = if quoted.source.is_ipv6() {
        let others = [(2, 0), (3, 0), (4, 1)];
        let (kind, code) = if unreachable { (1, form.noise % 7) } else { others[noise % 3] };
        (ICMPV6, kind, code)
    } else {
        let codes = [0, 1, 2, 3, 5, 9, 10, 13];
        let others = [(3, 4), (11, 0), (12, 0)];
        let (kind, code) = if unreachable { (3, codes[noise % 8]) } else { others[noise % 3] };
        (ICMP, kind, code)
    };
    ([&[kind, code, 0, 0, 0, 0, 0, 0], &packet[..]].concat(), protocol)
}

/// `fragment` is an identification and the field of offset and flag as IPv6 has it, in units of 8 bytes above 3 bits.
fn ip(of: &Tuple, protocol: u8, fragment: Option<(u8, u16)>, payload: &[u8], form: &Form) -> Vec<u8> {
    match (of.source.ip(), of.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header_bytes = 20 + form.option_words * 4;
            let (id, field) = fragment.unwrap_or((form.noise, 0));
            let field = field >> 3 | (field & 1) << 13 | u16::from(field == 0 && form.atomic) << 14;
            let mut header = vec![0x40 | (header_bytes / 4) as u8, 0];
            header.extend(((header_bytes + payload.len()) as u16).to_be_bytes());
            header.extend([0, id]);
            header.extend(field.to_be_bytes());
            header.extend([64, protocol, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            // No-operation (RFC 791).
            header.resize(header_bytes, 1);
            [&header[..], payload].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (next, chain) = chain(protocol, fragment, form);
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(((chain.len() + payload.len()) as u16).to_be_bytes());
            header.extend([next, 64]);
            header.extend(source.octets());
            header.extend(destination.octets());
            [&header[..], &chain, payload].concat()
        }
        _ => unreachable!("both ends are of one family"),
    }
}

/// Extension headers, the fragment header last, and what the first of them is.
fn chain(protocol: u8, fragment: Option<(u8, u16)>, form: &Form) -> (u8, Vec<u8>) {
    let (mut next, mut chain) = (protocol, Vec::new());
    if let Some((id, field)) = fragment {
        chain = [&[next, 0][..], &field.to_be_bytes(), &[0, 0, 0, id]].concat();
        next = FRAGMENT_HEADER;
    }
    for header in &form.extensions {
        // Eight bytes, or twelve of an authentication header.
        let (length, bytes) = if *header == 51 { (1, 12) } else { (0, 8) };
        let mut extension = vec![next, length, 1, 4];
        extension.resize(bytes, 0);
        chain.splice(0..0, extension);
        next = *header;
    }
    (next, chain)
}
