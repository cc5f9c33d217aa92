//! What is packed into what: amounts of four whole numbers, sizes that offer them, items and their parts that take them.

use crate::resources::Resources;

/// CPU (milli-vCPU), memory (bytes), pods, NICs: what an item takes or a VM offers.
pub(crate) type Amount = [u64; 4];

/// A limit that is not there. Far from `u64::MAX`, so that sums of rooms do not overflow.
pub(crate) const UNLIMITED: u64 = 1 << 53;

/// Whether `need` goes into `room`.
pub(crate) fn fits(need: &Amount, room: &Amount) -> bool {
    need[0] <= room[0] && need[1] <= room[1] && need[2] <= room[2] && need[3] <= room[3]
}

/// `a + b`.
pub(crate) fn plus(a: Amount, b: Amount) -> Amount {
    std::array::from_fn(|d| a[d] + b[d])
}

/// `a - b`, where `b` fits `a`.
pub(crate) fn minus(a: Amount, b: Amount) -> Amount {
    std::array::from_fn(|d| a[d] - b[d])
}

/// A VM size: its price and what it offers pods.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    /// Micro-dollars per hour.
    pub(crate) price: u64,
    /// What pods can have.
    pub(crate) room: Amount,
    /// How many can be had.
    pub(crate) available: u32,
    /// What the VM takes of its host.
    pub(crate) capacity: Resources,
}

/// A part of a pod that may be in a VM of its own.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// Ascending container indices.
    pub(crate) containers: Vec<usize>,
    /// What it takes beside others of its pod (CPU and memory only).
    pub(crate) need: Amount,
    /// What it takes at least, whatever is beside it: for bounds.
    pub(crate) least: Amount,
}

/// What is placed together: one pod, or pods that affinity binds to one VM.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Indices of the pods, ascending.
    pub(crate) pods: Vec<usize>,
    /// What it takes in one VM.
    pub(crate) whole: Amount,
    /// Which sizes may hold it: an index into the problem's profiles.
    pub(crate) profile: usize,
    /// The parts it may be split into; empty when it may not.
    pub(crate) units: Vec<Unit>,
    /// What each fraction takes beside its units: overhead, one pod, its NICs and the endpoint.
    pub(crate) fraction: Amount,
}

/// What must be in one VM at least: a unit where items may be split, else a whole item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    /// What it takes.
    pub(crate) need: Amount,
    /// Which VM sizes admit it: an index into the problem's profiles.
    pub(crate) profile: usize,
}
