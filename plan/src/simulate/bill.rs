//! What VMs cost over time.

pub(super) const SECOND_US: u64 = 1_000_000;
pub(super) const HOUR_US: u64 = 3600 * SECOND_US;

/// The unit VMs are paid by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// Begun hours are paid, and an empty VM is kept to the end of its hour.
    Hour,
    /// Begun seconds are paid, and an empty VM is given back at once.
    Second,
}

impl Billing {
    pub(super) fn unit_us(self) -> u64 {
        match self {
            Self::Hour => HOUR_US,
            Self::Second => SECOND_US,
        }
    }
}

/// One side's bill.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// In dollars.
    pub usd: f64,
    /// VMs bought, one after another or at the same time.
    pub bought: u64,
    /// The most at once, summed over clients.
    pub at_once: u64,
}

impl Bill {
    pub(super) fn add(&mut self, other: Self) {
        self.usd += other.usd;
        self.bought += other.bought;
        self.at_once += other.at_once;
    }
}
