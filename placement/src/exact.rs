//! The cheapest plan, and the proof that it is: sets of VMs are tried in order of price. Where every
//! cheaper set is shown to be too small, the set that holds everything is the best there can be.
//!
//! Effort is counted in steps. When it does not suffice, the plan is the best found, and the bound the
//! price below which everything was refuted.

use crate::bound::{Bound, Proof};
use crate::configuration;
use crate::effort::Effort;
use crate::error::PlacementError;
use crate::fit::Verdict;
use crate::local_search::improved;
use crate::packing::Packing;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::set_search::SetSearch;
use crate::strategy::{Strategy, Task};
use crate::vm_sets::{VmSet, vm_sets};

/// How many prices below the one found are tried again.
const LEVELS_BELOW: usize = 12;

/// The search for the cheapest plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exact {
    /// How much is tried.
    pub effort: Effort,
}

impl Strategy for Exact {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn place(&self, task: Task<'_>) -> Result<Plan, PlacementError> {
        let problem = Problem::new(task)?;
        Ok(solve(&problem, improved(&problem)?, self.effort).packing.finish())
    }
}

/// A packing and what no packing can go below.
pub(crate) struct Solved<'p> {
    /// The best packing found.
    pub(crate) packing: Packing<'p>,
    /// The proven bound.
    pub(crate) bound: Bound,
}

/// Improves on `start` and proves a bound.
pub(crate) fn solve<'p>(problem: &'p Problem<'p>, start: Packing<'p>, effort: Effort) -> Solved<'p> {
    let mut bound = Bound::continuous(problem);
    let mut search = SetSearch::new(problem, start, effort);
    if search.best.cost() > bound.cost.0 {
        let configured = configuration::bound(problem, &search.parts, &search.known(), effort.columns);
        bound.raise(problem, configured, Proof::Configuration);
    }
    if search.best.cost() > bound.cost.0 && problem.relations.is_empty() {
        refute(problem, &mut search, &mut bound);
    }
    Solved { packing: search.best, bound }
}

/// Tries the sets of VMs from the bound upwards, until one holds everything or the effort is spent.
fn refute<'p>(problem: &'p Problem<'p>, search: &mut SetSearch<'p>, bound: &mut Bound) {
    let listed = vm_sets(problem, problem.demand(), search.best.cost(), search.effort.sets);
    let mut groups: Vec<&[VmSet]> = listed.sets.chunk_by(|a, b| a.price == b.price).collect();
    groups.retain(|group| group[0].price >= bound.cost.0);
    halve(search, &groups);
    let mut refuted = true;
    for group in groups {
        let price = group[0].price;
        if price >= search.best.cost() {
            break;
        }
        if refuted {
            bound.raise(problem, price, Proof::Search);
        }
        for set in group {
            match search.search(set) {
                Verdict::Fits(_) => break,
                Verdict::Never => {}
                Verdict::Unknown => refuted = false,
            }
        }
        if !refuted && search.effort.searches == 0 {
            break;
        }
    }
    if refuted {
        bound.raise(problem, search.best.cost().min(listed.complete_below), Proof::Search);
    }
}

/// Finds, by halving, a price about as low as fillings can reach, and then goes on below it.
fn halve(search: &mut SetSearch<'_>, groups: &[&[VmSet]]) {
    let (mut low, mut high) = (0, groups.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if search.any_filled(groups[middle]) { high = middle } else { low = middle + 1 }
    }
    for group in groups[..high].iter().rev().take(LEVELS_BELOW) {
        search.any_filled(group);
    }
}
