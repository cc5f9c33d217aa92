//! What becomes of a row when an endpoint leaves, or does not answer any more.

use super::{
    flow::{Flow, Kind, Place, Places, State},
    group::Group,
    packet::{Family, Protocol, Tuple},
};

/// A packet for an endpoint that stays; `tuple` is its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// A TCP segment that fits nowhere: the end's answer is asked of all, refused by all, and so reset.
    Provoke {
        /// Who gets it.
        to: Place,
        /// From the end that left.
        tuple: Tuple,
    },
    /// The last refusal of a question, which the leaver can no longer give.
    Refuse {
        /// The asker.
        to: Place,
        /// From the asked end.
        tuple: Tuple,
        /// What was asked.
        kind: Kind,
        /// The question's number ([`Flow::number`]).
        number: u32,
    },
}

impl Group {
    /// Lets an endpoint go, and says what to tell the others. Nothing happens when it is not there.
    pub fn leave(&mut self, leaver: Place) -> Vec<Farewell> {
        let was = self.clone();
        self.members = self.members.without(leaver);
        let mut farewells = Vec::new();
        for (tuple, flow) in &was.flows {
            if let Some(farewell) = farewell(&was, tuple, flow, leaver) {
                self.flows.remove(tuple);
                farewells.extend(farewell);
            }
        }
        farewells
    }

    /// Takes down who does not answer by that family, and says which questions are answered by that.
    pub fn silence(&mut self, family: Family, silent: Places) -> Vec<Farewell> {
        self.set_silent(family, silent);
        let rows: Vec<_> = self.flows().map(|(tuple, flow)| (*tuple, *flow)).collect();
        let mut farewells = Vec::new();
        for (tuple, flow) in rows {
            if let Some(farewell) = overdue(self, &tuple, &flow) {
                self.flows.remove(&tuple);
                farewells.push(farewell);
            }
        }
        farewells
    }
}

/// The refusal of a question that only those could still answer who are silent.
pub fn overdue(group: &Group, tuple: &Tuple, flow: &Flow) -> Option<Farewell> {
    let State::Asked { kind, waiting, epoch } = flow.state else { return None };
    let missing = waiting.and(group.asked(epoch, tuple.family()));
    let refused = Farewell::Refuse { to: flow.asker, tuple: tuple.reversed(), kind, number: flow.number };
    missing.is_empty().then_some(refused)
}

/// What to do with a row of `group`, in which `leaver` still is: `None` to leave it alone, else to remove it, and to
/// send what is inside.
pub fn farewell(group: &Group, tuple: &Tuple, flow: &Flow, leaver: Place) -> Option<Option<Farewell>> {
    let back = tuple.reversed();
    let asker_leaves = flow.asker == leaver;
    match flow.state {
        State::Asked { .. } if asker_leaves => Some(None),
        State::Asked { kind, waiting, epoch } => {
            let missing = waiting.and(group.asked(epoch, tuple.family())).without(leaver);
            if !waiting.contains(leaver) || !missing.is_empty() {
                return None;
            }
            Some(Some(Farewell::Refuse { to: flow.asker, tuple: back, kind, number: flow.number }))
        }
        State::Bound { answerer, .. } if !asker_leaves && answerer != leaver => None,
        State::Bound { .. } if tuple.protocol == Protocol::Udp => Some(None),
        State::Bound { answerer, .. } if asker_leaves => {
            Some(Some(Farewell::Provoke { to: answerer, tuple: *tuple }))
        }
        State::Bound { .. } => Some(Some(Farewell::Provoke { to: flow.asker, tuple: back })),
    }
}
