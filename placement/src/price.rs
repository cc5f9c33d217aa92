//! Money, as an integer.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// A price in millionths of a dollar per hour (of any currency, as long as it is one).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(pub u64);

impl Price {
    /// Nothing to pay.
    pub const ZERO: Self = Self(0);

    /// The most that an hour of one VM may cost, about a million dollars: beyond it, costs times amounts
    /// would not fit the integers that bounds are computed in.
    pub const MOST: Self = Self((1 << 40) - 1);

    /// Micro-dollars per hour.
    pub const fn micro_dollars(self) -> u64 {
        self.0
    }

    /// Dollars per hour, for people to read; decisions use the integer.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// What is saved by paying `other` instead; nothing when `other` is dearer.
    pub const fn saved_by(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Price {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Price {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Price {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
