//! A fraction: as much of TCP and UDP as refusals, resets and strangers need.

use crate::loopback::*;
use std::collections::{BTreeMap, BTreeSet};

/// Who an endpoint is, for ever.
pub(super) type Ghost = u32;

pub(super) const CHALLENGES: u8 = 20;

/// A packet under way, with what the rules do not look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    pub(super) body: Body,
    /// The sequence number of a RST; of others, the sender's initial one.
    pub(super) sequence: u32,
    pub(super) sender: Ghost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    Opening {
        isn: u32,
    },
    /// Half-open until `confirmed`: the kernel gives such a one up by itself.
    Open {
        isn: u32,
        peer_isn: u32,
        peer: Ghost,
        confirmed: bool,
    },
}

/// What a program saw.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "a failing test prints what it does not judge by")]
pub(super) enum Event {
    Refused {
        tuple: Tuple,
        number: u32,
    },
    Reset {
        tuple: Tuple,
        socket: Socket,
    },
    Opened {
        tuple: Tuple,
    },
    /// This fraction refused the packet with that number.
    Refuses {
        tuple: Tuple,
        number: u32,
    },
    Got {
        tuple: Tuple,
    },
}

#[derive(Default)]
pub(super) struct Stack {
    pub(super) ghost: Ghost,
    pub(super) listeners: BTreeSet<(Protocol, u16)>,
    /// By the direction in which the owner sends.
    pub(super) sockets: BTreeMap<Tuple, Socket>,
    /// Local ports of UDP clients.
    pub(super) askers: BTreeSet<u16>,
    pub(super) events: Vec<Event>,
    next_isn: u32,
    /// Challenges that may still be sent; the kernel limits their rate.
    pub(super) challenges: u8,
}

impl Stack {
    pub(super) fn new(ghost: Ghost) -> Self {
        Self { ghost, next_isn: ghost << 20, challenges: CHALLENGES, ..Self::default() }
    }

    fn wire(&self, body: Body, sequence: u32) -> Wire {
        Wire { body, sequence, sender: self.ghost }
    }

    pub(super) fn isn(&mut self) -> u32 {
        self.next_isn += 1;
        self.next_isn << 4
    }

    /// What a socket sends until it is answered.
    pub(super) fn again(&self, tuple: Tuple) -> Option<Wire> {
        let (body, isn) = match *self.sockets.get(&tuple)? {
            Socket::Opening { isn } => (Body::Syn { tuple, sequence: isn }, isn),
            Socket::Open { isn, peer_isn, confirmed: false, .. } => {
                (Body::SynAck { tuple, acknowledged: peer_isn + 1 }, isn)
            }
            Socket::Open { .. } => return self.segment(tuple),
        };
        Some(self.wire(body, isn))
    }

    fn segment(&self, tuple: Tuple) -> Option<Wire> {
        match self.sockets.get(&tuple) {
            Some(Socket::Open { isn, peer_isn, .. }) => {
                Some(self.wire(Body::Segment { tuple, acknowledged: peer_isn + 1, end: None }, *isn))
            }
            _ => None,
        }
    }

    fn challenge(&mut self, own: Tuple) -> Option<Wire> {
        self.challenges = self.challenges.checked_sub(1)?;
        self.segment(own)
    }

    pub(super) fn abort(&mut self, tuple: Tuple) -> Option<Wire> {
        match self.sockets.remove(&tuple)? {
            Socket::Open { isn, peer_isn, confirmed: true, .. } => {
                let body = Body::Reset { tuple, acknowledged: Some(peer_isn + 1) };
                Some(self.wire(body, isn + 1))
            }
            _ => None,
        }
    }

    pub(super) fn datagram(&self, tuple: Tuple) -> Wire {
        self.wire(Body::Datagram { tuple }, 0)
    }

    /// Whether the packet is for a socket of this very fraction.
    pub(super) fn owns(&self, body: &Body) -> bool {
        match body {
            Body::Syn { tuple, .. } => {
                self.sockets.contains_key(&tuple.reversed())
                    || self.listeners.contains(&(Protocol::Tcp, tuple.destination.port()))
            }
            Body::SynAck { tuple, .. } | Body::Segment { tuple, .. } | Body::Reset { tuple, .. } => {
                self.sockets.contains_key(&tuple.reversed())
            }
            Body::Datagram { tuple } => {
                let port = tuple.destination.port();
                self.askers.contains(&port) || self.listeners.contains(&(Protocol::Udp, port))
            }
            Body::Error { quoted, .. } => self.askers.contains(&quoted.source.port()),
            Body::LaterFragment { .. } => false,
        }
    }

    pub(super) fn input(&mut self, wire: Wire) -> Option<Wire> {
        match wire.body {
            Body::Syn { tuple, sequence } => self.take_syn(tuple.reversed(), sequence, wire.sender),
            Body::SynAck { tuple, acknowledged } => self.take_syn_ack(tuple.reversed(), acknowledged, wire),
            Body::Segment { tuple, acknowledged, .. } => {
                self.take_segment(tuple.reversed(), acknowledged, wire)
            }
            Body::Reset { tuple, acknowledged } => {
                self.take_reset(tuple.reversed(), acknowledged, wire.sequence);
                None
            }
            Body::Datagram { tuple } => self.take_datagram(tuple),
            Body::Error { quoted, .. } => {
                if self.askers.contains(&quoted.source.port()) {
                    self.events.push(Event::Refused { tuple: quoted, number: 0 });
                }
                None
            }
            Body::LaterFragment { .. } => None,
        }
    }

    fn take_syn(&mut self, own: Tuple, sequence: u32, sender: Ghost) -> Option<Wire> {
        match self.sockets.get(&own) {
            Some(Socket::Open { isn, peer_isn, .. }) if *peer_isn == sequence => {
                let body = Body::SynAck { tuple: own, acknowledged: sequence + 1 };
                Some(self.wire(body, *isn))
            }
            // The challenge to a SYN on a living connection (RFC 5961).
            Some(Socket::Open { .. }) => self.challenge(own),
            _ if self.listeners.contains(&(Protocol::Tcp, own.source.port())) => {
                let isn = self.isn();
                self.sockets
                    .insert(own, Socket::Open { isn, peer_isn: sequence, peer: sender, confirmed: false });
                Some(self.wire(Body::SynAck { tuple: own, acknowledged: sequence + 1 }, isn))
            }
            _ => {
                self.events.push(Event::Refuses { tuple: own.reversed(), number: sequence });
                Some(self.wire(Body::Reset { tuple: own, acknowledged: Some(sequence + 1) }, 0))
            }
        }
    }

    fn take_syn_ack(&mut self, own: Tuple, acknowledged: u32, wire: Wire) -> Option<Wire> {
        match self.sockets.get(&own) {
            Some(Socket::Opening { isn }) if *isn + 1 == acknowledged => {
                let (isn, peer_isn, peer) = (*isn, wire.sequence, wire.sender);
                let open = Socket::Open { isn, peer_isn, peer, confirmed: true };
                self.sockets.insert(own, open);
                self.events.push(Event::Opened { tuple: own });
                self.segment(own)
            }
            Some(Socket::Open { peer_isn, .. }) if *peer_isn == wire.sequence => self.segment(own),
            // An open connection is not impressed by another's SYN (RFC 5961, 4.2).
            Some(Socket::Open { .. }) => self.challenge(own),
            _ => Some(self.wire(Body::Reset { tuple: own, acknowledged: None }, acknowledged)),
        }
    }

    fn take_segment(&mut self, own: Tuple, acknowledged: u32, wire: Wire) -> Option<Wire> {
        match self.sockets.get_mut(&own) {
            Some(Socket::Open { isn, peer_isn, peer, confirmed }) => {
                let fits = *isn + 1 == acknowledged && *peer_isn == wire.sequence;
                assert!(!fits || *peer == wire.sender, "{own:?} took a stranger's packet: {wire:?}");
                *confirmed |= fits;
                if fits {
                    None
                } else if !*confirmed && *isn + 1 != acknowledged {
                    // A half-open one is not a socket yet: its listener refuses what is of another attempt (RFC 9293,
                    // 3.10.7.4, fifth, SYN-RECEIVED).
                    Some(self.wire(Body::Reset { tuple: own, acknowledged: None }, acknowledged))
                } else {
                    // Else the answer says where we stand, so that the other end can reset us.
                    self.challenge(own)
                }
            }
            _ => {
                self.events.push(Event::Refuses { tuple: own.reversed(), number: acknowledged });
                Some(self.wire(Body::Reset { tuple: own, acknowledged: None }, acknowledged))
            }
        }
    }

    fn take_reset(&mut self, own: Tuple, acknowledged: Option<u32>, sequence: u32) {
        match self.sockets.get(&own).copied() {
            Some(Socket::Opening { isn }) if acknowledged == Some(isn + 1) => {
                self.sockets.remove(&own);
                self.events.push(Event::Refused { tuple: own, number: isn });
            }
            Some(socket @ Socket::Open { peer_isn, .. }) if sequence == peer_isn + 1 => {
                self.sockets.remove(&own);
                self.events.push(Event::Reset { tuple: own, socket });
            }
            _ => {}
        }
    }

    fn take_datagram(&mut self, tuple: Tuple) -> Option<Wire> {
        if self.askers.contains(&tuple.destination.port()) {
            self.events.push(Event::Got { tuple });
            return None;
        }
        if self.listeners.contains(&(Protocol::Udp, tuple.destination.port())) {
            return Some(self.wire(Body::Datagram { tuple: tuple.reversed() }, 0));
        }
        self.events.push(Event::Refuses { tuple, number: 0 });
        Some(self.wire(Body::Error { quoted: tuple, sequence: 0, unreachable: true }, 0))
    }
}
