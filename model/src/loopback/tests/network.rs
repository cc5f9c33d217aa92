//! Fractions joined by a group, with packets under way, and what must never happen there.

use super::stack::{CHALLENGES, Event, Ghost, Socket, Stack, Wire};
use crate::loopback::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Default)]
pub(super) struct Network {
    pub(super) group: Group,
    pub(super) stacks: BTreeMap<Place, Stack>,
    /// Packets that a fraction sent and packets for it, each in order.
    up: BTreeMap<Place, VecDeque<Wire>>,
    down: BTreeMap<Place, VecDeque<Wire>>,
    /// Who was asked by each open attempt, and who refused it. Nothing tells an ICMP error about one datagram from that
    /// about the next, so for UDP every refusal so far is held against the attempt.
    asked: BTreeMap<(Tuple, u32), BTreeSet<Ghost>>,
    refused_by: BTreeMap<(Tuple, u32), BTreeSet<Ghost>>,
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
        for farewell in self.group.leave(place) {
            let (to, body) = match farewell {
                // Fits nowhere: no socket has these numbers.
                Farewell::Provoke { to, tuple } => (to, Body::Segment { tuple, acknowledged: 1 }),
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

    pub(super) fn retransmit(&mut self, place: Place, tuple: Tuple) {
        let Some(stack) = self.stacks.get(&place) else { return };
        if let Some(wire) = stack.syn(tuple).or_else(|| stack.segment(tuple)) {
            self.send(place, wire);
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
        let verdict = self.group.receive(place, &wire.body.into());
        let key = match wire.body {
            Body::Syn { tuple, sequence } => Some((tuple, sequence)),
            Body::Datagram { tuple } => Some((tuple, 0)),
            _ => None,
        };
        if let Some(key) = key.filter(|_| verdict.outcome == Outcome::Asked) {
            let ghosts = verdict.to.iter().map(|to| self.stacks[&to].ghost).collect();
            self.asked.insert(key, ghosts);
        }
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

    fn check(&mut self, ghost: Ghost, event: Event) {
        match event {
            Event::Refuses { tuple, number } => {
                self.refused_by.entry((tuple, number)).or_default().insert(ghost);
            }
            Event::Refused { tuple, number } => {
                self.refusals += 1;
                let live: BTreeSet<Ghost> = self.stacks.values().map(|s| s.ghost).collect();
                let asked = self.asked.get(&(tuple, number)).cloned().unwrap_or_default();
                let refused = self.refused_by.get(&(tuple, number)).cloned().unwrap_or_default();
                let silent: Vec<_> = asked.intersection(&live).filter(|g| !refused.contains(g)).collect();
                assert!(silent.is_empty(), "{tuple:?} was refused, but not by {silent:?}");
            }
            Event::Reset { tuple, peer } => {
                let there = self.stacks.values().find(|s| s.ghost == peer);
                let socket = there.and_then(|stack| stack.sockets.get(&tuple.reversed()));
                let alive = matches!(socket, Some(Socket::Open { peer, .. }) if *peer == ghost);
                assert!(!alive, "{tuple:?} was reset though its other end lives");
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

    /// Connections that are not whole.
    pub(super) fn loose_ends(&self) -> Vec<(Place, Tuple, Socket)> {
        let sockets = self.stacks.iter().flat_map(|(p, s)| s.sockets.iter().map(|(t, s)| (*p, *t, *s)));
        sockets
            .filter(|(place, tuple, socket)| match socket {
                Socket::Opening { .. } => true,
                Socket::Open { confirmed: false, .. } => false,
                Socket::Open { peer, .. } => {
                    let own = self.stacks[place].ghost;
                    let other = self.stacks.values().find(|s| s.ghost == *peer);
                    let other = other.and_then(|stack| stack.sockets.get(&tuple.reversed()));
                    !matches!(other, Some(Socket::Open { peer, .. }) if *peer == own)
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
