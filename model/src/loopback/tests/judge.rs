//! What must hold for every verdict, by what the fractions really did, which the rules cannot see.

use super::stack::Ghost;
use crate::loopback::*;
use std::collections::{BTreeMap, BTreeSet};

/// A question as its packet went out.
struct Question {
    /// A SYN's sequence number; 0 for UDP. A segment's question has none: what its refusal does is checked where the
    /// connection is.
    number: Option<u32>,
    asked: BTreeSet<Ghost>,
}

#[derive(Default)]
pub(super) struct Judge {
    questions: BTreeMap<Tuple, Question>,
    /// How often an endpoint refused the packet with that number, less those that were passed on. Nothing tells an ICMP
    /// error about one datagram from that about the next, so each may stand for any, but only once.
    refusals: BTreeMap<(Tuple, u32, Ghost), usize>,
}

impl Judge {
    pub(super) fn refuses(&mut self, ghost: Ghost, tuple: Tuple, number: u32) {
        *self.refusals.entry((tuple, number, ghost)).or_default() += 1;
    }

    pub(super) fn verdict(
        &mut self,
        before: &Group,
        from: Place,
        body: &Body,
        verdict: Verdict,
        live: &BTreeMap<Place, Ghost>,
    ) {
        let members: BTreeSet<Place> = live.keys().copied().collect();
        let to: BTreeSet<Place> = verdict.to.iter().collect();
        assert!(to.is_subset(&members), "{body:?} went to {to:?}, not all of whom are there");
        let back_to_sender = to.contains(&from);
        assert_eq!(back_to_sender, verdict.outcome == Outcome::Alone, "{body:?} came back to its sender");
        match verdict.outcome {
            Outcome::Asked => self.asked(body, &to, live),
            Outcome::Refused => {
                let refused = refused_tuple(body).expect("only RST and ICMP errors refuse");
                self.passed(refused, to.iter().next().map(|place| live[place]), live);
            }
            Outcome::Clash | Outcome::Stray | Outcome::Withheld | Outcome::Fragment | Outcome::Heard => {
                assert!(to.is_empty(), "{body:?} was dropped, and went to {to:?}");
            }
            Outcome::Answered => assert_eq!(to.len(), 1, "{body:?} is an answer"),
            Outcome::Forwarded => {
                if is_bound(before, body, from) {
                    assert_eq!(to.len(), 1, "{body:?} is of a bound flow and went to {to:?}");
                }
            }
            Outcome::Alone => {}
        }
    }

    fn asked(&mut self, body: &Body, to: &BTreeSet<Place>, live: &BTreeMap<Place, Ghost>) {
        let (tuple, number) = match *body {
            Body::Syn { tuple, sequence } => (tuple, Some(sequence)),
            Body::Datagram { tuple } => (tuple, Some(0)),
            Body::Segment { tuple, .. } => (tuple, None),
            _ => panic!("{body:?} is no question"),
        };
        assert_eq!(to.len() + 1, live.len(), "{body:?} is asked of all others");
        let asked = to.iter().map(|place| live[place]).collect();
        self.questions.insert(tuple, Question { number, asked });
    }

    /// A refusal of `tuple` passes: each endpoint that was asked and is there must have given one.
    fn passed(&mut self, tuple: Tuple, receiver: Option<Ghost>, live: &BTreeMap<Place, Ghost>) {
        let everybody: BTreeSet<Ghost> =
            live.values().copied().filter(|ghost| Some(*ghost) != receiver).collect();
        let (number, asked) = match self.questions.get(&tuple) {
            Some(Question { number: None, .. }) => return,
            Some(Question { number: Some(number), asked }) => {
                (*number, asked.intersection(&everybody).copied().collect())
            }
            // One who was asked complains of the answer.
            None => (0, everybody),
        };
        for ghost in asked {
            let left = self.refusals.entry((tuple, number, ghost)).or_default();
            assert!(*left > 0, "{tuple:?} was refused, but not by {ghost}");
            *left -= 1;
        }
    }

    pub(super) fn farewell(&mut self, farewell: &Farewell, live: &BTreeMap<Place, Ghost>) {
        if let Farewell::Refuse { to, tuple, .. } = farewell {
            self.passed(tuple.reversed(), Some(live[to]), live);
        }
    }

    /// Nothing of an endpoint that left remains.
    pub(super) fn left(&self, group: &Group, leaver: Place) {
        for (tuple, flow) in group.flows() {
            let stale = match flow.state {
                State::Bound { answerer, .. } => flow.asker == leaver || answerer == leaver,
                State::Asked { waiting, epoch, .. } => {
                    flow.asker == leaver || waiting.and(group.since(epoch)).is_empty()
                }
            };
            assert!(!stale, "{leaver} left, and {tuple:?} is still {flow:?}");
        }
    }
}

/// What a packet that refuses is about.
fn refused_tuple(body: &Body) -> Option<Tuple> {
    match body {
        Body::Reset { tuple, .. } => Some(tuple.reversed()),
        Body::Error { quoted, .. } => Some(*quoted),
        _ => None,
    }
}

/// Whether the sender is an end of the packet's flow, and the flow has another.
fn is_bound(group: &Group, body: &Body, from: Place) -> bool {
    let tuple = match body {
        Body::Syn { tuple, .. }
        | Body::SynAck { tuple, .. }
        | Body::Reset { tuple, .. }
        | Body::Segment { tuple, .. }
        | Body::Datagram { tuple } => *tuple,
        Body::Error { quoted, .. } => quoted.reversed(),
        Body::LaterFragment { .. } => return false,
    };
    let row = |wanted: Tuple| group.flows().find(|(tuple, _)| **tuple == wanted).map(|(_, flow)| *flow);
    let there =
        row(tuple).is_some_and(|flow| flow.asker == from && matches!(flow.state, State::Bound { .. }));
    let back = row(tuple.reversed())
        .is_some_and(|flow| matches!(flow.state, State::Bound { answerer, .. } if answerer == from));
    there || back
}
