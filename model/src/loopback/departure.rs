//! What becomes of a row when an endpoint leaves.

use super::{
    flow::{Flow, Kind, Place, State},
    group::Group,
    packet::{Protocol, Tuple},
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

pub(super) enum Fate {
    Stays,
    Goes(Option<Farewell>),
}

/// What to do with a row of `group`, in which `leaver` still is: `None` to leave it alone, else to remove it, and to
/// send what is inside.
pub fn farewell(group: &Group, tuple: &Tuple, flow: &Flow, leaver: Place) -> Option<Option<Farewell>> {
    match fate(group, tuple, flow, leaver) {
        Fate::Stays => None,
        Fate::Goes(farewell) => Some(farewell),
    }
}

pub(super) fn fate(group: &Group, tuple: &Tuple, flow: &Flow, leaver: Place) -> Fate {
    let back = tuple.reversed();
    let asker_leaves = flow.asker == leaver;
    match flow.state {
        State::Asked { .. } if asker_leaves => Fate::Goes(None),
        State::Asked { kind, waiting, epoch } => {
            let missing = waiting.and(group.since(epoch)).without(leaver);
            if !waiting.contains(leaver) || !missing.is_empty() {
                return Fate::Stays;
            }
            Fate::Goes(Some(Farewell::Refuse { to: flow.asker, tuple: back, kind, number: flow.number }))
        }
        State::Bound { answerer, .. } if !asker_leaves && answerer != leaver => Fate::Stays,
        State::Bound { .. } if tuple.protocol == Protocol::Udp => Fate::Goes(None),
        State::Bound { answerer, .. } if asker_leaves => {
            Fate::Goes(Some(Farewell::Provoke { to: answerer, tuple: *tuple }))
        }
        State::Bound { .. } => Fate::Goes(Some(Farewell::Provoke { to: flow.asker, tuple: back })),
    }
}
