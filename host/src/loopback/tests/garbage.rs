//! Frames that no rule is for.

use super::encode::{self, Form};
use nestless_model::loopback::{Body, Protocol, Tuple};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
pub(super) enum Garbage {
    Arp,
    ForgedMac,
    Unicast,
    Vlan,
    ForeignSource,
    ForeignDestination,
    QuotesForeign,
    Version,
    Cut(usize),
    ShortHeader,
    Echo,
    Sctp,
    FragmentedError,
}

pub(super) fn garbage() -> impl Strategy<Value = Garbage> {
    use Garbage::{
        Arp, Cut, Echo, ForeignDestination, ForeignSource, ForgedMac, FragmentedError, QuotesForeign, Sctp,
        ShortHeader, Unicast, Version, Vlan,
    };
    let fixed = vec![
        Arp,
        ForgedMac,
        Unicast,
        Vlan,
        ForeignSource,
        ForeignDestination,
        QuotesForeign,
        Version,
        ShortHeader,
        Echo,
        Sctp,
        FragmentedError,
    ];
    prop_oneof![3 => prop::sample::select(fixed), 1 => (0usize..28).prop_map(Cut)]
}

pub(super) const PLAIN: Form = Form {
    option_words: 0,
    extensions: Vec::new(),
    payload: Vec::new(),
    padding: 0,
    noise: 0,
    atomic: false,
};

/// The frame, and what it must be counted as.
pub(super) fn frame(garbage: Garbage, ipv6: bool) -> (Vec<u8>, &'static str) {
    let end = |port| if ipv6 { ("::1", port) } else { ("127.0.0.1", port) };
    let socket = |(ip, port): (&str, u16)| std::net::SocketAddr::new(ip.parse().unwrap(), port);
    let tuple = Tuple { protocol: Protocol::Udp, source: socket(end(5)), destination: socket(end(6)) };
    let datagram = encode::frame(&Body::Datagram { tuple }.into(), &tuple, &PLAIN);
    let error = Body::Error { quoted: tuple.reversed(), sequence: 0, unreachable: true };
    let error = encode::frame(&error.into(), &tuple, &PLAIN);
    let with = |mut frame: Vec<u8>, at: usize, value: u8| {
        frame[at] = value;
        frame
    };
    let (source, destination) = if ipv6 { (14 + 8, 14 + 24) } else { (14 + 12, 14 + 16) };
    let protocol = if ipv6 { 14 + 6 } else { 14 + 9 };
    let upper = if ipv6 { 14 + 40 } else { 14 + 20 };
    match garbage {
        Garbage::Arp => ([&[0xff; 6][..], &[0; 6], &[8, 6, 0, 1, 8, 0]].concat(), "foreign"),
        Garbage::ForgedMac => (with(datagram, 11, 1), "foreign"),
        Garbage::Unicast => (with(datagram, 0, 0xfe), "foreign"),
        Garbage::Vlan => ([&datagram[..12], &[0x81, 0, 0, 5], &datagram[12..]].concat(), "foreign"),
        Garbage::ForeignSource => (with(datagram, source, 10), "foreign"),
        Garbage::ForeignDestination => (with(datagram, destination, 10), "foreign"),
        Garbage::QuotesForeign => (with(error, upper + 8 + destination - 14, 10), "foreign"),
        Garbage::Version => (with(datagram, 14, 0x95), "malformed"),
        // Up to the last byte of the header of UDP.
        Garbage::Cut(bytes) => {
            let end = (14 + bytes).min(datagram.len() - 1);
            (datagram[..end].to_vec(), "malformed")
        }
        Garbage::ShortHeader if ipv6 => (with(datagram, 14 + 5, 3), "malformed"),
        Garbage::ShortHeader => (with(datagram, 14, 0x44), "malformed"),
        Garbage::Echo => (with(error, upper, if ipv6 { 128 } else { 8 }), "unsupported"),
        Garbage::Sctp => (with(datagram, protocol, 132), "unsupported"),
        Garbage::FragmentedError if ipv6 => {
            let mut frame = error;
            let next = std::mem::replace(&mut frame[protocol], 44);
            frame.splice(upper..upper, [next, 0, 0, 1, 0, 0, 0, 1]);
            let length = frame.len() - upper;
            frame[14 + 5] = length as u8;
            (frame, "unsupported")
        }
        Garbage::FragmentedError => (with(error, 14 + 6, 0x20), "unsupported"),
    }
}
