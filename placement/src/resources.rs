//! What a container asks for and a VM offers: CPU and memory, as integers. No decision of the planner
//! depends on a floating-point number, so that the same input gives the same plan on every machine.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// CPU and memory. Sums saturate: a total that does not fit 64 bits fits no VM either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resources {
    /// CPU in thousandths of a vCPU.
    pub cpu_milli: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

impl Resources {
    /// Nothing.
    pub const ZERO: Self = Self { cpu_milli: 0, memory_bytes: 0 };

    /// `cpu_milli` thousandths of a vCPU and `memory_bytes` bytes.
    pub const fn new(cpu_milli: u64, memory_bytes: u64) -> Self {
        Self { cpu_milli, memory_bytes }
    }

    /// Whether both parts are at most those of `room`.
    pub const fn fits(self, room: Self) -> bool {
        self.cpu_milli <= room.cpu_milli && self.memory_bytes <= room.memory_bytes
    }

    /// The greater of each part.
    pub fn max(self, other: Self) -> Self {
        Self::new(self.cpu_milli.max(other.cpu_milli), self.memory_bytes.max(other.memory_bytes))
    }

    /// The lesser of each part.
    pub fn min(self, other: Self) -> Self {
        Self::new(self.cpu_milli.min(other.cpu_milli), self.memory_bytes.min(other.memory_bytes))
    }

    /// What is left of `self` without `other`, or `None` when `other` does not fit.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        other.fits(self).then(|| self - other)
    }

    /// What is left of `self` without `other`; a part that would be negative is zero.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self::new(
            self.cpu_milli.saturating_sub(other.cpu_milli),
            self.memory_bytes.saturating_sub(other.memory_bytes),
        )
    }

    /// `count` times as much.
    pub const fn times(self, count: u64) -> Self {
        Self::new(self.cpu_milli.saturating_mul(count), self.memory_bytes.saturating_mul(count))
    }

    /// Whether both parts are zero.
    pub const fn is_zero(self) -> bool {
        self.cpu_milli == 0 && self.memory_bytes == 0
    }
}

impl Add for Resources {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(
            self.cpu_milli.saturating_add(other.cpu_milli),
            self.memory_bytes.saturating_add(other.memory_bytes),
        )
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Resources {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        debug_assert!(other.fits(self), "{other} is more than {self}");
        self.saturating_sub(other)
    }
}

impl SubAssign for Resources {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Resources {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}m CPU and {} MiB", self.cpu_milli, self.memory_bytes.div_ceil(1 << 20))
    }
}
