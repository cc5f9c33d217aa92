//! Rows of the tables in the model's words.

use nestless_bpf::reflector::{Flow as FlowRow, FlowKey, Group as GroupRow};
use nestless_model::loopback::{Flow, Group, Half, Kind, Place, Places, Protocol, State, Tuple};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Of each a group has a table of its own.
pub(super) const PROTOCOLS: [u8; 2] = [TCP, UDP];
/// `REFLECTOR_RESUMING` and the like of the program's header.
const RESUMING: u8 = 1;
const BOUND: u8 = 2;
const ENDED: u32 = 1;
const CLOSED: u32 = 2;

pub(super) fn group(row: &GroupRow) -> Group {
    Group::observed(Places(row.members), row.epoch, row.life, row.silent.map(Places))
}

/// `None` for what no program of ours writes.
pub(super) fn flow(row: &FlowRow) -> Option<Flow> {
    let state = if row.kind == BOUND {
        State::Bound {
            answerer: Place::new(row.answerer)?,
            answerer_life: row.since,
            halves: [half(row, 0), half(row, 1)],
        }
    } else {
        let kind = if row.kind == RESUMING { Kind::Resuming } else { Kind::Opening };
        State::Asked { kind, waiting: Places(row.waiting), epoch: row.since }
    };
    Some(Flow { asker: Place::new(row.asker)?, asker_life: row.asker_life, number: row.number, state })
}

fn half(row: &FlowRow, number: usize) -> Half {
    let bits = row.halves >> (2 * number);
    if bits & CLOSED != 0 {
        Half::Closed
    } else if bits & ENDED != 0 {
        Half::Ended { end: row.end[number] }
    } else {
        Half::Open
    }
}

/// `None` for what no program of ours writes.
pub(super) fn tuple(key: &FlowKey) -> Option<Tuple> {
    let protocol = match key.protocol {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        _ => return None,
    };
    Some(Tuple {
        protocol,
        source: end(key.asker_address, key.asker_port),
        destination: end(key.asked_address, key.asked_port),
    })
}

/// IPv6, which has one loopback address, is address 0 in a key.
fn end(address: u32, port: u16) -> SocketAddr {
    let ip = if address == 0 {
        IpAddr::V6(Ipv6Addr::LOCALHOST)
    } else {
        IpAddr::V4(Ipv4Addr::from(address.to_ne_bytes()))
    };
    SocketAddr::new(ip, u16::from_be(port))
}
