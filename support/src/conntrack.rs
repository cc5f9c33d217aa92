//! The connections that the kernel remembers (nf_conntrack, by way of ctnetlink): who they are between, and that they be
//! forgotten. Blocks for a few system calls; works on the calling thread's network namespace.
//!
//! Messages and attributes are those of linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.

use netlink_sys::{Socket, SocketAddr as NetlinkAddress, protocols::NETLINK_NETFILTER};
use std::{
    io,
    net::{IpAddr, SocketAddr},
};

/// `NFNL_SUBSYS_CTNETLINK`, shifted to where it stands in a message's type.
const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// struct nlmsghdr, and struct nfgenmsg behind it.
const HEADER_BYTES: usize = 16;
const FAMILY_BYTES: usize = 4;
/// Kinds of attributes without the flags beside them (`NLA_TYPE_MASK`).
const KIND: u16 = 0x3fff;

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// TCP's number.
pub const TCP: u8 = 6;
/// UDP's number.
pub const UDP: u8 = 17;

/// A connection of TCP's or UDP's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// Whom the client asks.
    pub asked: SocketAddr,
    /// Who answers: another, where it was translated.
    pub answering: SocketAddr,
    family: u8,
    /// The attributes by which the kernel finds it, as it told them.
    address: Vec<u8>,
}

/// All of them, of both families.
///
/// # Errors
/// When the kernel cannot be asked: it remembers none, or tells nobody (`CONFIG_NF_CT_NETLINK`).
pub fn list() -> io::Result<Vec<Connection>> {
    let mut found = Vec::new();
    ask(&message(GET, REQUEST | DUMP, 0, &[]), |kind, body| {
        if kind == NEW {
            found.extend(connection(body));
        }
    })?;
    Ok(found)
}

/// Has the kernel forget one: its next packet is a beginning. False: it was gone already.
///
/// # Errors
/// When the kernel refuses.
pub fn forget(connection: &Connection) -> io::Result<bool> {
    let request = message(DELETE, REQUEST | ACKNOWLEDGE, connection.family, &connection.address);
    match ask(&request, |_, _| {}) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
        Ok(()) => Ok(true),
    }
}

fn message(kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    let length = HEADER_BYTES + FAMILY_BYTES + attributes.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(attributes);
    bytes
}

/// Sends a request, and hands over the answers up to the last.
fn ask(request: &[u8], mut answer: impl FnMut(u16, &[u8])) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddress::new(0, 0))?;
    socket.send(request, 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Some((kind, body, behind)) = first(rest) {
            match kind {
                DONE => return Ok(()),
                ERROR => return acknowledged(body),
                _ => answer(kind, body),
            }
            rest = behind;
        }
    }
}

/// The first message of a datagram, and what is behind it.
fn first(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(HEADER_BYTES..length)?;
    let behind = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, behind))
}

fn acknowledged(body: &[u8]) -> io::Result<()> {
    let code = body.get(..4).and_then(|code| code.try_into().ok()).map_or(0, i32::from_ne_bytes);
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) }
}

fn connection(body: &[u8]) -> Option<Connection> {
    let family = *body.first()?;
    let (mut address, mut original, mut reply) = (Vec::new(), None, None);
    for (kind, value) in attributes(body.get(FAMILY_BYTES..)?) {
        match kind {
            ORIGINAL => original = Some(value),
            REPLY => reply = Some(value),
            _ => {}
        }
        if matches!(kind, ORIGINAL | ID | ZONE) {
            put(&mut address, kind, value);
        }
    }
    let (asking, answering) = (tuple(original?)?, tuple(reply?)?);
    Some(Connection {
        protocol: asking.protocol,
        asked: asking.to,
        answering: answering.from,
        family,
        address,
    })
}

struct Tuple {
    protocol: u8,
    from: SocketAddr,
    to: SocketAddr,
}

/// `None` for protocols without ports.
fn tuple(bytes: &[u8]) -> Option<Tuple> {
    const ADDRESSES: u16 = 1;
    const PROTOCOL: u16 = 2;
    let (mut from, mut to) = (None, None);
    let (mut number, mut from_port, mut to_port) = (None, None, None);
    for (kind, value) in attributes(bytes) {
        for (inner, value) in attributes(value) {
            match (kind, inner) {
                (ADDRESSES, 1 | 3) => from = ip(value),
                (ADDRESSES, 2 | 4) => to = ip(value),
                (PROTOCOL, 1) => number = value.first().copied(),
                (PROTOCOL, 2) => from_port = port(value),
                (PROTOCOL, 3) => to_port = port(value),
                _ => {}
            }
        }
    }
    let protocol = number.filter(|number| matches!(*number, TCP | UDP))?;
    Some(Tuple { protocol, from: SocketAddr::new(from?, from_port?), to: SocketAddr::new(to?, to_port?) })
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & KIND;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    // A tuple has attributes in it, and since Linux 5.2 the kernel wants to be told so (NLA_F_NESTED).
    let nested = if kind == ORIGINAL { 0x8000 } else { 0 };
    bytes.extend(u16::try_from(value.len() + 4).unwrap_or(u16::MAX).to_ne_bytes());
    bytes.extend((kind | nested).to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match *value {
        [a, b, c, d] => Some([a, b, c, d].into()),
        _ => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
    }
}

fn port(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_be_bytes)
}
