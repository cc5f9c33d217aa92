//! What no plan can go below.

use serde::{Deserialize, Serialize};

use super::price::Price;

/// A proven lower bound on the cost of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// No plan under the same rules costs less.
    pub cost: Price,
    /// What proves it; the strongest of them.
    pub proof: Proof,
}

/// How a bound was proven, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Everything is poured like water, and VMs are whole.
    Continuous,
    /// The linear programme over all ways to fill a VM.
    Configuration,
    /// A complete search found nothing cheaper.
    Search,
}
