//! Fractions joined by a group, with packets under way, and what must never happen there.

use super::{
    judge::Judge,
    stack::{CHALLENGES, Event, Ghost, Socket, Stack, Wire},
};
use crate::loopback::*;
use std::collections::{BTreeMap, VecDeque};

#[derive(Default)]
pub(super) struct Network {
    pub(super) group: Group,
    pub(super) stacks: BTreeMap<Place, Stack>,
    /// Packets that a fraction sent and packets for it, each in order.
    up: BTreeMap<Place, VecDeque<Wire>>,
    down: BTreeMap<Place, VecDeque<Wire>>,
    judge: Judge,
    ghosts: Ghost,
    next_port: u16,
    pub(super) refusals: usize,
    pub(super) opened: usize,
}

impl Network {
    pub(super) fn join(&mut self) {
        if let Ok(place) = self.group.join() {
            self.ghosts += 1;
            self.stacks.insert(place, Stack::new(self.ghosts));
            self.up.insert(place, VecDeque::new());
            self.down.insert(place, VecDeque::new());
        }
    }

    pub(super) fn leave(&mut self, place: Place) {
        if self.stacks.remove(&place).is_none() {
            return;
        }
        self.up.remove(&place);
        self.down.remove(&place);
        let farewells = self.group.leave(place);
        self.judge.left(&self.group, place);
        for farewell in farewells {
            self.judge.farewell(&farewell, &self.ghosts_by_place());
            let (to, body) = match farewell {
                // Fits nowhere: no socket has these numbers.
                Farewell::Provoke { to, tuple } => (to, Body::Segment { tuple, acknowledged: 1, end: None }),
                Farewell::Refuse { to, tuple, kind, number } => (to, refusal(tuple, kind, number)),
            };
            let sequence = match farewell {
                Farewell::Refuse { kind: Kind::Resuming, number, .. } => number,
                _ => 0,
            };
            self.down.entry(to).or_default().push_back(Wire { body, sequence, sender: 0 });
        }
    }

    pub(super) fn connect(&mut self, place: Place, port: u16) {
        let Some(stack) = self.stacks.get_mut(&place) else { return };
        if stack.listeners.contains(&(Protocol::Tcp, port)) {
            return; // Stays on lo.
        }
        // Few ports, so that they come again.
        self.next_port = (self.next_port + 1) % 3;
        let source = 1000 + u16::from(place.number()) * 10 + self.next_port;
        let tuple = tuple(Protocol::Tcp, source, port);
        if !stack.sockets.contains_key(&tuple) {
            let isn = stack.isn();
            stack.sockets.insert(tuple, Socket::Opening { isn });
        }
        self.retransmit(place, tuple);
    }

    /// Not while a client of the same fraction waits for that port's answer: its SYN is with the others, and its next SYN
    /// would stay here (the module's caveat).
    pub(super) fn listen(&mut self, place: Place, protocol: Protocol, port: u16) {
        let Some(stack) = self.stacks.get_mut(&place) else { return };
        let waits = |(tuple, socket): (&Tuple, &Socket)| {
            tuple.destination.port() == port && matches!(socket, Socket::Opening { .. })
        };
        if protocol == Protocol::Udp || !stack.sockets.iter().any(waits) {
            stack.listeners.insert((protocol, port));
        }
    }

    /// Not between a SYN's first answer and its arrival, nor while the SYN is under way once more (the module's caveat).
    pub(super) fn evict(&mut self, row: &Tuple) {
        let bound =
            |(tuple, flow): (&Tuple, &Flow)| tuple == row && matches!(flow.state, State::Bound { .. });
        let opening = |stack: &Stack| matches!(stack.sockets.get(row), Some(Socket::Opening { .. }));
        let syn = |wire: &Wire| matches!(wire.body, Body::Syn { tuple, .. } if tuple == *row);
        let young = self.stacks.values().any(opening) || self.up.values().flatten().any(syn);
        if !(young && self.group.flows().any(bound)) {
            self.group.evict(row);
        }
    }

    pub(super) fn retransmit(&mut self, place: Place, tuple: Tuple) {
        let Some(stack) = self.stacks.get(&place) else { return };
        if let Some(wire) = stack.again(tuple) {
            self.send(place, wire);
        }
    }

    /// A program ends: its kernel says so for connections that are open.
    pub(super) fn abort(&mut self, place: Place, tuple: Tuple) {
        let Some(stack) = self.stacks.get_mut(&place) else { return };
        if let Some(reset) = stack.abort(tuple) {
            self.send(place, reset);
        }
    }

    /// What a fraction has a socket for stays there.
    fn send(&mut self, place: Place, wire: Wire) {
        let Some(stack) = self.stacks.get(&place) else { return };
        let local = stack.owns(&wire.body);
        let way = if local { &mut self.down } else { &mut self.up };
        way.entry(place).or_default().push_back(wire);
    }

    pub(super) fn ask(&mut self, place: Place, port: u16) {
        let Some(stack) = self.stacks.get_mut(&place) else { return };
        if stack.listeners.contains(&(Protocol::Udp, port)) {
            return;
        }
        let source = 1000 + u16::from(place.number()) * 10;
        stack.askers.insert(source);
        let wire = stack.datagram(tuple(Protocol::Udp, source, port));
        self.send(place, wire);
    }

    /// Lets the reflector take a packet of this fraction's.
    pub(super) fn reflect(&mut self, place: Place) -> bool {
        let Some(wire) = self.up.get_mut(&place).and_then(VecDeque::pop_front) else { return false };
        let before = self.group.clone();
        let verdict = self.group.receive(place, &wire.body.into());
        self.judge.verdict(&before, place, &wire.body, verdict, &self.ghosts_by_place());
        for to in verdict.to.iter() {
            self.down.entry(to).or_default().push_back(wire);
        }
        true
    }

    /// Lets a fraction take a packet.
    pub(super) fn deliver(&mut self, place: Place) -> bool {
        let Some(wire) = self.down.get_mut(&place).and_then(VecDeque::pop_front) else { return false };
        let stack = self.stacks.get_mut(&place).expect("packets go to members only");
        let answer = stack.input(wire);
        let (ghost, events) = (stack.ghost, std::mem::take(&mut stack.events));
        if let Some(answer) = answer {
            self.send(place, answer);
        }
        for event in events {
            self.check(ghost, event);
        }
        true
    }

    fn ghosts_by_place(&self) -> BTreeMap<Place, Ghost> {
        self.stacks.iter().map(|(place, stack)| (*place, stack.ghost)).collect()
    }

    fn check(&mut self, ghost: Ghost, event: Event) {
        match event {
            Event::Refuses { tuple, number } => self.judge.refuses(ghost, tuple, number),
            Event::Refused { .. } => self.refusals += 1,
            Event::Reset { tuple, socket } => {
                let whole = self.is_whole(ghost, &tuple, &socket);
                assert!(!whole, "{tuple:?} was reset though its other end lives");
            }
            Event::Opened { .. } => self.opened += 1,
            Event::Got { .. } => {}
        }
    }

    /// Lets all packets arrive, then all who wait send again, until there is nothing more to say.
    pub(super) fn settle(&mut self) {
        for _ in 0..6 {
            self.drain();
            self.stacks.values_mut().for_each(|stack| stack.challenges = CHALLENGES);
            let all: Vec<_> = self
                .stacks
                .iter()
                .flat_map(|(place, stack)| stack.sockets.keys().map(|tuple| (*place, *tuple)))
                .collect();
            for (place, tuple) in all {
                self.retransmit(place, tuple);
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            let places: Vec<Place> = self.stacks.keys().copied().collect();
            let moved = places.iter().filter(|p| self.reflect(**p) | self.deliver(**p)).count();
            if moved == 0 {
                return;
            }
        }
    }

    /// Whether the other end of `own`'s socket is there: of this very connection, not of another attempt's.
    fn is_whole(&self, own: Ghost, tuple: &Tuple, socket: &Socket) -> bool {
        let Socket::Open { isn, peer_isn, peer, .. } = *socket else { return false };
        let there = self.stacks.values().find(|stack| stack.ghost == peer);
        let other = there.and_then(|stack| stack.sockets.get(&tuple.reversed()));
        matches!(other, Some(Socket::Open { isn: i, peer_isn: p, peer: g, .. }) if (*i, *p, *g) == (peer_isn, isn, own))
    }

    /// Whether the flow is one of others by now (the module's caveat).
    fn is_taken(&self, place: Place, tuple: &Tuple) -> bool {
        self.group.flows().any(|(row, flow)| match flow.state {
            State::Bound { answerer, .. } => {
                (row == tuple || *row == tuple.reversed()) && flow.asker != place && answerer != place
            }
            State::Asked { .. } => false,
        })
    }

    /// Connections that are not whole.
    pub(super) fn loose_ends(&self) -> Vec<(Place, Tuple, Socket)> {
        let sockets = self.stacks.iter().flat_map(|(p, s)| s.sockets.iter().map(|(t, s)| (*p, *t, *s)));
        sockets
            .filter(|(place, tuple, socket)| match socket {
                Socket::Opening { .. } => true,
                Socket::Open { confirmed: false, .. } => false,
                Socket::Open { .. } => {
                    !self.is_whole(self.stacks[place].ghost, tuple, socket) && !self.is_taken(*place, tuple)
                }
            })
            .collect()
    }
}

fn tuple(protocol: Protocol, from: u16, to: u16) -> Tuple {
    let end = |port| ([127, 0, 0, 1], port).into();
    Tuple { protocol, source: end(from), destination: end(to) }
}

fn refusal(tuple: Tuple, kind: Kind, number: u32) -> Body {
    match (tuple.protocol, kind) {
        (Protocol::Udp, _) => Body::Error { quoted: tuple.reversed(), sequence: 0, unreachable: true },
        (_, Kind::Opening) => Body::Reset { tuple, acknowledged: Some(number + 1) },
        (_, Kind::Resuming) => Body::Reset { tuple, acknowledged: None },
    }
}
