//! The configuration bound: the linear programme over all ways to fill a VM.
//!
//! It is solved from the dual side. Every kind of part gets a worth; whatever can be in one VM together
//! must not be worth more than the VM's price; the worth of all parts is then a lower bound on the price
//! of any VMs that hold them. The search for worths is numerical, the proof is not: worths are rounded to
//! integers, the most that a VM of each size can be worth is bounded by an integer search, and the sum is
//! scaled down by the largest excess (Farley's bound), which is valid for any worths whatever.

use microlp::{ComparisonOp, OptimizationDirection, Problem as Programme, Solution, Variable};

use super::exact::price_step;
use super::fit::Part;
use super::knapsack::{Kind, Knapsack};
use super::problem::Problem;

/// Beyond this many kinds of parts the programme is not tried: their parts are small, and the continuous
/// bound is near.
const MOST_KINDS: usize = 160;

/// Rounds of adding the best filling of each size.
const MOST_ROUNDS: usize = 120;

/// Fractions of a micro-dollar in which worths are counted.
const GRAIN: u64 = 1 << 8;

/// A lower bound in micro-dollars, found with about `budget` steps of search; 0 when nothing was proven.
pub(super) fn bound(problem: &Problem<'_>, parts: &[Part], budget: u64) -> u64 {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable();
    let groups = sorted.chunk_by(|a, b| a == b);
    let kinds: Vec<(Part, u64)> = groups.map(|group| (group[0], group.len() as u64)).collect();
    if kinds.is_empty() || kinds.len() > MOST_KINDS {
        return 0;
    }
    Generation::new(problem, kinds, budget).and_then(Generation::run).unwrap_or(0)
}

struct Generation<'p> {
    problem: &'p Problem<'p>,
    kinds: Vec<(Part, u64)>,
    /// Sizes that hold some kind.
    sizes: Vec<usize>,
    worths: Vec<Variable>,
    solution: Solution,
    unit: f64,
    budget: u64,
}

impl<'p> Generation<'p> {
    /// Starts with worths that no part alone exceeds.
    fn new(problem: &'p Problem<'p>, kinds: Vec<(Part, u64)>, budget: u64) -> Option<Self> {
        let unit = price_step(problem) as f64;
        let mut programme = Programme::new(OptimizationDirection::Maximize);
        let holds = |part: &Part, size: usize| {
            problem.profiles[part.profile][size]
                && super::problem::fits(&part.need, &problem.sizes[size].room)
        };
        let sizes: Vec<usize> = (0..problem.sizes.len())
            .filter(|&size| kinds.iter().any(|(part, _)| holds(part, size)))
            .collect();
        let mut worths = Vec::with_capacity(kinds.len());
        for (part, count) in &kinds {
            let alone =
                sizes.iter().filter(|&&size| holds(part, size)).map(|&size| problem.sizes[size].price);
            let most = alone.min()? as f64 / unit;
            worths.push(programme.add_var(*count as f64, (0.0, most)));
        }
        let solution = programme.solve().ok()?.into_solution().ok()?;
        Some(Self { problem, kinds, sizes, worths, solution, unit, budget })
    }

    /// Adds fillings until the bound cannot grow, or the budget is spent.
    fn run(mut self) -> Option<u64> {
        let mut best = 0;
        let step = price_step(self.problem);
        for _ in 0..MOST_ROUNDS {
            let worth: Vec<u64> = self.worths.iter().map(|&v| self.integer(v)).collect();
            let upper = (self.solution.objective() * self.unit) as u64;
            let (bound, fillings) = self.price(&worth);
            best = best.max(bound);
            if best.div_ceil(step) >= (upper.saturating_sub(1)).div_ceil(step)
                || fillings.is_empty()
                || self.budget == 0
            {
                break;
            }
            for (size, counts) in fillings {
                let price = self.problem.sizes[size].price as f64 / self.unit;
                let terms: Vec<(Variable, f64)> =
                    counts.iter().map(|&(kind, count)| (self.worths[kind], count as f64)).collect();
                let Ok(outcome) = self.solution.clone().add_constraint(terms, ComparisonOp::Le, price) else {
                    return Some(best);
                };
                let Ok(solution) = outcome.into_solution() else { return Some(best) };
                self.solution = solution;
            }
        }
        Some(best)
    }

    fn integer(&self, variable: Variable) -> u64 {
        let worth = self.solution.var_value(variable) * self.unit * GRAIN as f64;
        if worth.is_finite() { worth.max(0.0) as u64 } else { 0 }
    }

    /// The bound that `worth` proves, and the fillings that are worth more than their VM.
    fn price(&mut self, worth: &[u64]) -> (u64, Vec<(usize, Vec<(usize, u64)>)>) {
        let total: u128 =
            self.kinds.iter().zip(worth).map(|((_, count), &w)| u128::from(*count) * u128::from(w)).sum();
        let mut least = total / u128::from(GRAIN);
        let mut fillings = Vec::new();
        for &size in &self.sizes {
            let of = &self.problem.sizes[size];
            let kinds = self.kinds.iter().zip(worth).enumerate();
            let kinds = kinds
                .filter(|(_, ((part, _), worth))| **worth > 0 && self.problem.profiles[part.profile][size]);
            let kinds = kinds.map(|(index, ((part, count), worth))| Kind {
                index,
                need: part.need,
                count: *count,
                worth: *worth,
            });
            let share = self.budget / 8;
            let mut left = share;
            let knapsack = Knapsack::new(kinds.collect(), of.room);
            let outcome = knapsack.solve(&mut left);
            self.budget -= share - left;
            let price = u128::from(of.price) * u128::from(GRAIN);
            let most = u128::from(outcome.at_most);
            if most > price {
                // price / at_most of every worth fits every VM.
                least = least.min(total * u128::from(of.price) / most);
            }
            if u128::from(outcome.worth) > price + price / 1_000_000 {
                fillings.push((size, outcome.counts));
            }
        }
        (least as u64, fillings)
    }
}
