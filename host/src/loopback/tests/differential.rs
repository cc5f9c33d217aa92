//! Random traffic, judged by the program and by the model: frame by frame, row by row, farewell by farewell.

use super::{
    super::{GroupId, frame, hearing, tables},
    encode::{self, Form, form},
    garbage::{self, Garbage, garbage},
    site::{Site, group},
};
use nestless_model::loopback::{
    Body, Family, Farewell, Flow, Group, Packet, Place, Places, Protocol, State, Tuple, Verdict, probe,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

const LINKS: usize = 5;
/// A connection that both ends had finished was forgotten.
const FINISHED: &str = "finished";

#[derive(Clone, Debug)]
enum Action {
    Send { from: usize, packet: Packet, of: Tuple, form: Form },
    Connection { ends: [usize; 2], tuple: Tuple, closing: Vec<Closing>, form: Form },
    Garbage { from: usize, garbage: Garbage, ipv6: bool },
    Join(usize),
    Leave(usize),
    Silence(Family, u16),
    Answer(usize, Family),
    Evict(usize),
}

/// A segment of a connection: from its asker, with a FIN, acknowledging the other's FIN.
type Closing = (bool, bool, bool);

/// One that is made, and may come to its end.
fn connection() -> impl Strategy<Value = Action> {
    let closing = prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 3..12);
    (tuple(), 0..3usize, 0..3usize, closing, form()).prop_map(|(tuple, asker, answerer, closing, form)| {
        let tuple = Tuple { protocol: Protocol::Tcp, ..tuple };
        Action::Connection { ends: [asker, answerer], tuple, closing, form }
    })
}

/// What the connection's ends send.
fn conversation(tuple: Tuple, closing: &[Closing]) -> Vec<(usize, Tuple, Body)> {
    let back = tuple.reversed();
    let mut said = vec![
        (0, tuple, Body::Syn { tuple, sequence: 500 }),
        (1, back, Body::SynAck { tuple: back, acknowledged: 501 }),
    ];
    said.extend(closing.iter().map(|(asker, fin, acknowledges)| {
        let (speaker, tuple) = if *asker { (0, tuple) } else { (1, back) };
        let acknowledged = if *acknowledges { [2000, 1000][speaker] } else { 600 };
        (speaker, tuple, Body::Segment { tuple, acknowledged, end: fin.then_some([1000, 2000][speaker]) })
    }));
    said
}

/// Few of each, so that they meet again.
fn tuple() -> impl Strategy<Value = Tuple> {
    let ends = vec![("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.9.0.2"), ("::1", "::1")];
    (any::<bool>(), prop::sample::select(ends), 0..3u16, any::<bool>()).prop_map(|(udp, ends, port, back)| {
        let end = |ip: &str, port| std::net::SocketAddr::new(ip.parse().unwrap(), port);
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        // The third is a number that both ends have.
        let own = if port == 2 { 80 } else { 40000 + port };
        let tuple = Tuple { protocol, source: end(ends.0, own), destination: end(ends.1, 80) };
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
    (tuple(), numbers(), numbers(), 0..28u8, any::<bool>(), 0..3u8).prop_map(
        |(tuple, (sequence, acknowledged), (_, behind), kind, flag, id)| {
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
                _ => Body::Segment { tuple, acknowledged, end: flag.then_some(behind) },
            };
            let first_fragment = (18..20).contains(&kind).then_some(id);
            (Packet { body, first_fragment }, tuple)
        },
    )
}

fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(Family::ALL.to_vec())
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        60 => (0..LINKS, packet(), form())
            .prop_map(|(from, (packet, of), form)| Action::Send { from, packet, of, form }),
        3 => connection(),
        4 => (0..LINKS, garbage(), any::<bool>())
            .prop_map(|(from, garbage, ipv6)| Action::Garbage { from, garbage, ipv6 }),
        3 => (0..LINKS).prop_map(Action::Join),
        2 => (0..LINKS).prop_map(Action::Leave),
        2 => any::<usize>().prop_map(Action::Evict),
        2 => (family(), prop::sample::select(vec![0, 0, 1, 2, 6])).prop_map(|(f, p)| Action::Silence(f, p)),
        2 => (0..LINKS, family()).prop_map(|(from, family)| Action::Answer(from, family)),
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
                let bound = self.bound();
                let verdict = self.places.get(from).map(|place| self.model.receive(*place, packet));
                if matches!(packet.body, Body::Segment { .. }) && self.bound() < bound {
                    *self.seen.borrow_mut().entry(FINISHED).or_default() += 1;
                }
                self.send(*from, verdict, &encode::frame(packet, of, form));
            }
            Action::Connection { ends, tuple, closing, form } => {
                for (speaker, of, body) in conversation(*tuple, closing) {
                    let (from, packet, form) = (ends[speaker], body.into(), form.clone());
                    self.apply(&Action::Send { from, packet, of, form });
                }
            }
            Action::Silence(family, places) => self.silence(*family, Places(*places)),
            Action::Answer(from, family) => {
                let tuple = probe(*family).reversed();
                let answer = Packet::from(Body::Reset { tuple, acknowledged: None });
                let verdict = self.places.get(from).map(|place| self.model.receive(*place, &answer));
                self.send(*from, verdict, &encode::frame(&answer, &tuple, &garbage::PLAIN));
                let heard = tables::heard(&self.site.loopback.pinned(), self.group).unwrap();
                assert_eq!(heard, Family::ALL.map(|family| self.model.heard(family)));
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
        self.told(&farewells);
        self.places.remove(&end);
    }

    fn told(&self, farewells: &[Farewell]) {
        for (at, frames) in self.site.arrived().into_iter().enumerate() {
            let to_it = |farewell: &&Farewell| {
                let (Farewell::Provoke { to, .. } | Farewell::Refuse { to, .. }) = farewell;
                self.end(*to) == at
            };
            let expected: BTreeSet<_> = farewells.iter().filter(to_it).map(frame::of).collect();
            assert_eq!(frames.into_iter().collect::<BTreeSet<_>>(), expected, "farewells at end {at}");
        }
    }

    /// How many rows have two ends.
    fn bound(&self) -> usize {
        self.model.flows().filter(|(_, flow)| matches!(flow.state, State::Bound { .. })).count()
    }

    fn silence(&mut self, family: Family, silent: Places) {
        let silent = silent.and(self.model.members());
        let farewells = self.model.silence(family, silent);
        let mut pinned = self.site.loopback.pinned();
        let mut row = tables::group(&pinned, self.group).unwrap().unwrap_or_default();
        row.silent[family.index()] = silent.0;
        if row.members != 0 {
            hearing::take_down(&mut pinned, self.group, &row, &mut None).unwrap();
        }
        drop(pinned);
        self.told(&farewells);
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
    for outcome in nestless_bpf::reflector::Counters::FIELDS.into_iter().skip(1).chain([FINISHED]) {
        assert!(seen.get(outcome).copied().unwrap_or(0) > 5, "{outcome} was hardly tried: {seen:?}");
    }
}
