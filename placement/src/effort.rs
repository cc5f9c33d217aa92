//! How much is tried before what was found so far is taken: counted in steps, never in time.

/// How much is tried, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Sets of VMs to list, partial ones included.
    pub sets: usize,
    /// Placements of single items in heuristic fillings.
    pub fillings: u64,
    /// Steps of the complete search, for each set of VMs.
    pub search: u64,
    /// Steps of the complete searches of a client together.
    pub searches: u64,
    /// Steps of the search for columns of the configuration programme.
    pub columns: u64,
}

impl Effort {
    /// Enough for a few hundred clients of ordinary size in a minute.
    pub const DEFAULT: Self =
        Self { sets: 100_000, fillings: 20_000_000, search: 50_000, searches: 500_000, columns: 6_000_000 };

    /// What one round of local search may cost.
    pub(crate) const ROUND: Self =
        Self { sets: 3_000, fillings: 20_000, search: 300, searches: 1_500, columns: 0 };
}

impl Default for Effort {
    fn default() -> Self {
        Self::DEFAULT
    }
}
