//! Random traffic, judged by the program and by the model: frame by frame, row by row, farewell by farewell.

use super::{
    super::{GroupId, frame, tables},
    encode::{self, Form, form},
    garbage::{self, Garbage, garbage},
    site::{Site, group},
};
use nestless_model::loopback::{Body, Farewell, Flow, Group, Packet, Place, Protocol, Tuple, Verdict};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

const LINKS: usize = 5;

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "most actions are of the large kind")]
enum Action {
    Send { from: usize, packet: Packet, of: Tuple, form: Form },
    Garbage { from: usize, garbage: Garbage, ipv6: bool },
    Join(usize),
    Leave(usize),
    Evict(usize),
}

/// Few of each, so that they meet again.
fn tuple() -> impl Strategy<Value = Tuple> {
    let ends = vec![("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.9.0.2"), ("::1", "::1")];
    (any::<bool>(), prop::sample::select(ends), 0..2u16, any::<bool>()).prop_map(|(udp, ends, port, back)| {
        let end = |ip: &str, port| std::net::SocketAddr::new(ip.parse().unwrap(), port);
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        let tuple = Tuple { protocol, source: end(ends.0, 40000 + port), destination: end(ends.1, 80) };
        if back { tuple.reversed() } else { tuple }
    })
}

/// Numbers that often fit: two sequence numbers, and acknowledgements at, within and outside what they allow.
fn numbers() -> impl Strategy<Value = (u32, u32)> {
    let sequence = prop::sample::select(vec![u32::MAX, 500]);
    let ahead = prop::sample::select(vec![1, 1, 1, 9, 0x10000, 0x10001, 0]);
    (sequence, ahead).prop_map(|(sequence, ahead): (u32, u32)| (sequence, sequence.wrapping_add(ahead)))
}

fn packet() -> impl Strategy<Value = (Packet, Tuple)> {
    (tuple(), numbers(), 0..20u8, any::<bool>(), 0..3u8).prop_map(
        |(tuple, (sequence, acknowledged), kind, flag, id)| {
            let udp = tuple.protocol == Protocol::Udp;
            let id = encode::fragment_id(&tuple, id);
            let body = match kind {
                0..=3 => Body::Error {
                    quoted: tuple.reversed(),
                    sequence: if udp { 0 } else { sequence },
                    unreachable: kind > 0,
                },
                4 => Body::LaterFragment { id },
                _ if udp => Body::Datagram { tuple },
                5..=8 => Body::Syn { tuple, sequence },
                9..=12 => Body::SynAck { tuple, acknowledged },
                13..=16 => Body::Reset { tuple, acknowledged: flag.then_some(acknowledged) },
                _ => Body::Segment { tuple, acknowledged },
            };
            let whole = kind <= 4 || kind < 18;
            let first_fragment = (!whole).then_some(id);
            (Packet { body, first_fragment }, tuple)
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        60 => (0..LINKS, packet(), form())
            .prop_map(|(from, (packet, of), form)| Action::Send { from, packet, of, form }),
        4 => (0..LINKS, garbage(), any::<bool>())
            .prop_map(|(from, garbage, ipv6)| Action::Garbage { from, garbage, ipv6 }),
        3 => (0..LINKS).prop_map(Action::Join),
        2 => (0..LINKS).prop_map(Action::Leave),
        2 => any::<usize>().prop_map(Action::Evict),
    ]
}

struct Pair<'a> {
    site: &'a Site,
    group: GroupId,
    model: Group,
    places: BTreeMap<usize, Place>,
    seen: &'a RefCell<BTreeMap<&'static str, usize>>,
}

impl Pair<'_> {
    fn join(&mut self, end: usize) {
        if self.places.contains_key(&end) {
            return;
        }
        let place = self.model.join().unwrap();
        assert_eq!(self.site.join(self.group, end), place);
        self.places.insert(end, place);
    }

    fn end(&self, place: Place) -> usize {
        self.places.iter().find(|(_, there)| **there == place).map(|(end, _)| *end).unwrap()
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Join(end) => self.join(*end),
            Action::Leave(end) => self.leave(*end),
            Action::Evict(nth) => {
                let nth = nth % self.model.flows().count().max(1);
                let row = self.model.flows().nth(nth).map(|(tuple, _)| *tuple);
                if let Some(tuple) = row {
                    self.evict(&tuple);
                }
            }
            Action::Send { from, packet, of, form } => {
                let verdict = self.places.get(from).map(|place| self.model.receive(*place, packet));
                self.send(*from, verdict, &encode::frame(packet, of, form));
            }
            Action::Garbage { from, garbage, ipv6 } => {
                let (frame, outcome) = garbage::frame(*garbage, *ipv6);
                let outcome = if self.places.contains_key(from) { outcome } else { "closed" };
                let at = self.places.get(from).map(|place| (self.group, *place));
                assert_eq!(self.site.send(*from, at, &frame), outcome, "{garbage:?}");
                *self.seen.borrow_mut().entry(outcome).or_default() += 1;
                assert!(self.site.arrived().concat().is_empty(), "{garbage:?} went through");
            }
        }
        assert_eq!(self.rows(), self.model.flows().map(|(t, f)| (*t, shown(f))).collect());
    }

    fn send(&self, from: usize, verdict: Option<Verdict>, frame: &[u8]) {
        let at = self.places.get(&from).map(|place| (self.group, *place));
        let wanted = verdict.map_or("closed".to_owned(), |v| format!("{:?}", v.outcome).to_lowercase());
        let got = self.site.send(from, at, frame);
        assert_eq!(got, wanted);
        *self.seen.borrow_mut().entry(got).or_default() += 1;
        let to: BTreeSet<usize> =
            verdict.iter().flat_map(|verdict| verdict.to.iter()).map(|place| self.end(place)).collect();
        for (end, frames) in self.site.arrived().into_iter().enumerate() {
            let expected: Vec<&[u8]> = if to.contains(&end) { vec![frame] } else { Vec::new() };
            assert_eq!(frames, expected, "at end {end}, of a frame that was {wanted}");
        }
    }

    fn leave(&mut self, end: usize) {
        let Some(place) = self.places.get(&end).copied() else { return };
        let farewells = self.model.leave(place);
        let told = self.site.loopback.leave(self.group, place).unwrap();
        assert_eq!(told, farewells.len());
        for (at, frames) in self.site.arrived().into_iter().enumerate() {
            let to_it = |farewell: &&Farewell| {
                let (Farewell::Provoke { to, .. } | Farewell::Refuse { to, .. }) = farewell;
                self.end(*to) == at
            };
            let expected: BTreeSet<_> = farewells.iter().filter(to_it).map(frame::of).collect();
            assert_eq!(frames.into_iter().collect::<BTreeSet<_>>(), expected, "farewells at end {at}");
        }
        self.places.remove(&end);
    }

    fn evict(&mut self, tuple: &Tuple) {
        self.model.evict(tuple);
        let pinned = self.site.loopback.pinned();
        for (key, row, _) in tables::flows(&pinned, self.group).unwrap() {
            if row == *tuple {
                tables::remove_flow(&pinned, self.group, &key).unwrap();
            }
        }
    }

    fn rows(&self) -> BTreeMap<Tuple, String> {
        let rows = self.site.loopback.flows(self.group).unwrap();
        rows.into_iter().map(|(tuple, flow)| (tuple, shown(&flow))).collect()
    }
}

fn shown(flow: &Flow) -> String {
    format!("{flow:?}")
}

#[test]
fn the_program_does_what_the_model_does() {
    let site = Site::with_links(LINKS);
    // A link is the reflector's from its first group on.
    for end in 0..LINKS {
        site.join(group(1000), end);
    }
    site.loopback.dissolve(group(1000)).unwrap();
    let (seen, number) = (RefCell::default(), RefCell::new(0));
    let config = Config {
        cases: Config::default().cases / 2,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(action(), 1..250), |actions| {
        *number.borrow_mut() += 1;
        let group = group(*number.borrow());
        let mut pair =
            Pair { site: &site, group, model: Group::default(), places: BTreeMap::new(), seen: &seen };
        (0..3).for_each(|end| pair.join(end));
        let compared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            actions.iter().for_each(|action| pair.apply(action));
        }));
        site.loopback.dissolve(group).unwrap();
        site.arrived();
        compared.map_err(|cause| {
            let words = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            TestCaseError::fail(words)
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let seen = seen.into_inner();
    for outcome in nestless_bpf::reflector::Counters::FIELDS.into_iter().skip(1) {
        assert!(seen.get(outcome).copied().unwrap_or(0) > 5, "{outcome} was hardly tried: {seen:?}");
    }
}
