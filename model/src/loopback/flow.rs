//! What a group knows about one flow.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How many fractions a group may have: the width of the sets in a row.
pub const MAX_FRACTIONS: usize = 16;

/// An endpoint's number in its group, below [`MAX_FRACTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Place(u8);

/// Not a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no place in a loopback group: expected 0 to {last}", last = MAX_FRACTIONS - 1)]
pub struct PlaceError(u8);

impl TryFrom<u8> for Place {
    type Error = PlaceError;
    fn try_from(number: u8) -> Result<Self, PlaceError> {
        Self::new(number).ok_or(PlaceError(number))
    }
}

impl From<Place> for u8 {
    fn from(place: Place) -> u8 {
        place.0
    }
}

impl Place {
    /// `None` when there is no such place.
    pub fn new(number: u8) -> Option<Self> {
        (usize::from(number) < MAX_FRACTIONS).then_some(Self(number))
    }

    /// From 0.
    pub fn number(self) -> u8 {
        self.0
    }

    /// As an index of the tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..MAX_FRACTIONS as u8).map(Self)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of endpoints: bit n is place n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Places(pub u16);

impl Places {
    /// Only this one.
    pub fn only(place: Place) -> Self {
        Self(1 << place.0)
    }

    /// Whether it is in the set.
    pub fn contains(self, place: Place) -> bool {
        self.0 & Self::only(place).0 != 0
    }

    /// The set with it.
    #[must_use]
    pub fn with(self, place: Place) -> Self {
        Self(self.0 | Self::only(place).0)
    }

    /// The set without it.
    #[must_use]
    pub fn without(self, place: Place) -> Self {
        Self(self.0 & !Self::only(place).0)
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// All that are not in it.
    #[must_use]
    pub fn inverse(self) -> Self {
        Self(!self.0)
    }

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Nobody.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// From the lowest place.
    pub fn iter(self) -> impl Iterator<Item = Place> {
        Place::all().filter(move |place| self.contains(*place))
    }
}

/// What a question began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A SYN, or a datagram.
    Opening,
    /// A TCP segment of a flow that was not known.
    Resuming,
}

/// Where a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A question.
    Asked {
        /// What it began with.
        kind: Kind,
        /// Whose refusals are missing.
        waiting: Places,
        /// The group's last join when it was asked: only who was there by then was asked.
        epoch: u8,
    },
    /// The first answer came.
    Bound {
        /// From here.
        answerer: Place,
        /// Which of the endpoints that have this place one after another.
        answerer_life: u8,
        /// How far what the asker sends has come to its end, and what the answerer sends. UDP has no end.
        halves: [Half; 2],
    },
}

/// One direction of a TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Half {
    /// There may be more.
    #[default]
    Open,
    /// A FIN went by.
    Ended {
        /// The acknowledgement that says it has arrived.
        end: u32,
    },
    /// It has arrived.
    Closed,
}

/// A row. It stands under the direction in which the asker sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who asked.
    pub asker: Place,
    /// Which of the endpoints that have this place one after another.
    pub asker_life: u8,
    /// Of the question's packet: a SYN's sequence number, a segment's acknowledgement; 0 for UDP.
    pub number: u32,
    /// Where it stands.
    pub state: State,
}
