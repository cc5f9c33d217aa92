//! What no plan can go below.

use serde::{Deserialize, Serialize};

use crate::error::PlacementError;
use crate::exact::{Effort, floor};
use crate::price::Price;
use crate::problem::Problem;
use crate::strategy::Task;

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

/// What no plan of `task` costs less than, without a search for plans: the continuous bound, and the
/// configuration bound where there are few enough kinds of parts for it. [`compare`](crate::compare())
/// proves more.
///
/// # Errors
/// [`PlacementError`] where the task has no plan because of one pod alone.
pub fn lower_bound(task: Task<'_>, effort: Effort) -> Result<Bound, PlacementError> {
    let problem = Problem::new(task)?;
    Ok(floor(&problem, effort))
}
