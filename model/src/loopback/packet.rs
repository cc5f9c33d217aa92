//! Packets, as far as the rules look at them.

use std::{fmt, net::SocketAddr};

/// What both ends speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Which IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// As an index of the tables.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::V4 { "IPv4" } else { "IPv6" })
    }
}

/// One direction of a flow. Both addresses are loopback addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Who sends.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
}

impl Tuple {
    /// The other direction.
    pub fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }

    /// Which IP.
    pub fn family(self) -> Family {
        if self.source.is_ipv6() { Family::V6 } else { Family::V4 }
    }
}

/// A datagram's identification: that of its IPv4 header, or of its IPv6 fragment header. The source and destination
/// of a group's fragments are told apart by the kernel's table too; here the number is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentId(pub u32);

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What it is.
    pub body: Body,
    /// It is the first fragment of a datagram, with more to come.
    pub first_fragment: Option<FragmentId>,
}

impl From<Body> for Packet {
    fn from(body: Body) -> Self {
        Self { body, first_fragment: None }
    }
}

/// What a packet is. TCP flags are looked at in this order: RST, SYN with ACK, SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// SYN without ACK.
    Syn {
        /// Its direction.
        tuple: Tuple,
        /// Its sequence number.
        sequence: u32,
    },
    /// SYN with ACK.
    SynAck {
        /// Its direction.
        tuple: Tuple,
        /// What it acknowledges.
        acknowledged: u32,
    },
    /// RST.
    Reset {
        /// Its direction.
        tuple: Tuple,
        /// What it acknowledges, where its ACK flag is set.
        acknowledged: Option<u32>,
    },
    /// Any other TCP segment.
    Segment {
        /// Its direction.
        tuple: Tuple,
        /// The field, whether its ACK flag is set or not.
        acknowledged: u32,
        /// With a FIN: the sequence number behind it, which its receipt acknowledges.
        end: Option<u32>,
    },
    /// A UDP datagram.
    Datagram {
        /// Its direction.
        tuple: Tuple,
    },
    /// An ICMP or ICMPv6 error.
    Error {
        /// Direction of the packet that it quotes.
        quoted: Tuple,
        /// The quoted sequence number; 0 for UDP.
        sequence: u32,
        /// It says "unreachable", for another reason than the packet's size.
        unreachable: bool,
    },
    /// A fragment that is not the first.
    LaterFragment {
        /// Its datagram.
        id: FragmentId,
    },
}
