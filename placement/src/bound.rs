//! What no plan can go below.

use serde::{Deserialize, Serialize};

use crate::configuration;
use crate::effort::Effort;
use crate::error::PlacementError;
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

impl Bound {
    /// What room costs at least, at the best rates of any size.
    pub(crate) fn continuous(problem: &Problem<'_>) -> Self {
        let mut bound = Self { cost: Price(0), proof: Proof::Continuous };
        bound.raise(problem, problem.rates.cost(&problem.demand()), Proof::Continuous);
        bound
    }

    /// Takes another proven bound, where it is stronger: a cost between two sums of prices is that of the next.
    pub(crate) fn raise(&mut self, problem: &Problem<'_>, cost: u64, proof: Proof) {
        let step = problem.price_step();
        let cost = Price(cost.div_ceil(step) * step);
        if cost > self.cost {
            *self = Self { cost, proof };
        }
    }
}

/// What no plan of `task` costs less than, without a search for plans: the continuous bound, and the
/// configuration bound where there are few enough kinds of parts for it. [`compare`](crate::compare())
/// proves more.
///
/// # Errors
/// [`PlacementError`] where the task has no plan because of one pod alone.
pub fn lower_bound(task: Task<'_>, effort: Effort) -> Result<Bound, PlacementError> {
    let problem = Problem::new(task)?;
    let mut bound = Bound::continuous(&problem);
    let configured = configuration::bound(&problem, &problem.parts().0, &[], effort.columns);
    bound.raise(&problem, configured, Proof::Configuration);
    Ok(bound)
}
