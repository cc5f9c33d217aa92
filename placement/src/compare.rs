//! The four numbers of a client: the scheduler as it is, the best plan of whole pods, the best plan with
//! split pods, and what no plan can go below; beside them the paper's own post-pass.

use serde::{Deserialize, Serialize};

use crate::best_fit::BestFit;
use crate::bound::Bound;
use crate::catalogue::Catalogue;
use crate::dot_product::DotProduct;
use crate::effort::Effort;
use crate::error::PlacementError;
use crate::exact::{Exact, Solved, solve};
use crate::hostlo::{Hostlo, post_pass};
use crate::kubernetes::{Kubernetes, as_it_is};
use crate::local_search::{LARGE, LocalSearch, improved, search};
use crate::packing::Packing;
use crate::plan::Plan;
use crate::pod::Client;
use crate::problem::Problem;
use crate::strategy::{HostModel, Rules, Splitting, Strategy, Task};

/// On which terms plans are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Where VMs that share a split pod may be.
    pub hosts: HostModel,
    /// The most fractions of one pod; `None` for any number.
    pub max_fractions: Option<u32>,
    /// How much is tried.
    pub effort: Effort,
}

/// Plans of one client, and what bounds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Kubernetes as it is.
    pub as_is: Plan,
    /// The post-pass over that.
    pub as_is_hostlo: Plan,
    /// The best plan of whole pods; costs no more than `as_is`.
    pub whole: Plan,
    /// The best plan with split pods; costs no more than `whole` and `as_is_hostlo`.
    pub split: Plan,
    /// What no plan of whole pods can go below.
    pub whole_bound: Bound,
    /// What no plan at all can go below.
    pub split_bound: Bound,
}

impl Comparison {
    /// Whether splitting is proven to be cheaper: the split plan costs less than whole pods can.
    pub fn splitting_pays(&self, catalogue: &Catalogue) -> bool {
        self.split.cost(catalogue) < self.whole_bound.cost
    }

    /// Whether no plan of whole pods can be cheaper than the one found.
    pub fn whole_is_optimal(&self, catalogue: &Catalogue) -> bool {
        self.whole.cost(catalogue) == self.whole_bound.cost
    }

    /// Whether no plan at all can be cheaper than the split plan found.
    pub fn split_is_optimal(&self, catalogue: &Catalogue) -> bool {
        self.split.cost(catalogue) == self.split_bound.cost
    }
}

/// Plans a client in all ways.
///
/// # Errors
/// What stands against the plan of whole pods; a client some of whose pods fit no VM unsplit has no
/// comparison.
pub fn compare(client: &Client, catalogue: &Catalogue, terms: Terms) -> Result<Comparison, PlacementError> {
    let rules =
        Rules { splitting: Splitting::Split { max_fractions: terms.max_fractions }, hosts: terms.hosts };
    let problem = Problem::new(Task { client, catalogue, rules })?;
    let unsplit = problem.clone().whole();
    let as_is = as_it_is(&unsplit)?;
    let start = better(improved(&unsplit)?, as_is.clone());
    let whole = solve(&unsplit, start, terms.effort);
    let mut relieved = rebase(&as_is, &problem);
    post_pass(&mut relieved);
    let split = best_split(&problem, &whole.packing, &relieved, terms.effort)?;
    let mut split_bound = split.bound;
    if whole.bound.cost < split_bound.cost {
        split_bound = whole.bound;
    }
    Ok(Comparison {
        as_is: as_is.finish(),
        as_is_hostlo: relieved.finish(),
        whole: whole.packing.finish(),
        split: split.packing.finish(),
        // Splitting forbids nothing: what bounds split plans bounds whole ones.
        whole_bound: if whole.bound.cost < split_bound.cost { split_bound } else { whole.bound },
        split_bound,
    })
}

fn best_split<'p>(
    problem: &'p Problem<'p>,
    whole: &Packing<'_>,
    relieved: &Packing<'p>,
    effort: Effort,
) -> Result<Solved<'p>, PlacementError> {
    let mut start = better(rebase(whole, problem), relieved.clone());
    search(&mut start);
    let mut moved = rebase(whole, problem);
    post_pass(&mut moved);
    start = better(start, moved);
    // Beyond that, the heuristics split too few of the items to differ from those for whole ones.
    if problem.items.len() <= LARGE {
        start = better(start, improved(problem)?);
    }
    Ok(solve(problem, start, effort))
}

fn better<'p>(one: Packing<'p>, other: Packing<'p>) -> Packing<'p> {
    if other.score() < one.score() { other } else { one }
}

/// The same packing of whole items, of the problem in which they may be split.
fn rebase<'p>(packing: &Packing<'_>, problem: &'p Problem<'p>) -> Packing<'p> {
    let mut next = Packing::new(problem);
    for vm in &packing.vms {
        let at = next.open(vm.size);
        for piece in &vm.pieces {
            next.put(at, piece.clone());
        }
    }
    next
}

/// The strategies, by the names that users know.
pub fn strategies() -> Vec<Box<dyn Strategy>> {
    vec![
        Box::new(Kubernetes),
        Box::new(Hostlo),
        Box::new(BestFit),
        Box::new(DotProduct),
        Box::new(LocalSearch),
        Box::new(Exact::default()),
        #[cfg(feature = "highs")]
        Box::new(crate::highs::Highs::default()),
    ]
}

/// The strategy with this name.
pub fn strategy(name: &str) -> Option<Box<dyn Strategy>> {
    strategies().into_iter().find(|strategy| strategy.name() == name)
}
