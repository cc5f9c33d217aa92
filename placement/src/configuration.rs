//! The configuration bound: the linear programme over all ways to fill a VM.
//!
//! It is solved from the dual side. Every kind of part gets a worth; whatever can be in one VM together
//! must not be worth more than the VM's price; the worth of all parts is then a lower bound on the price
//! of any VMs that hold them. The search for worths is numerical, the proof is not: worths are rounded to
//! integers, the most that a VM of each size can be worth is bounded by an integer search, and the sum is
//! scaled down by the largest excess (Farley's bound), which is valid for any worths whatever.

use microlp::{ComparisonOp, OptimizationDirection, Problem as Programme, Solution, Variable};

use crate::item::{Part, fits};
use crate::knapsack::{Kind, Knapsack};
use crate::problem::Problem;

/// Beyond this many kinds of parts the programme is not tried: their parts are small, and the continuous
/// bound is near.
const MOST_KINDS: usize = 160;

/// Rounds of adding the best filling of each size.
const MOST_ROUNDS: usize = 120;

/// Fractions of a micro-dollar in which worths are counted.
const GRAIN: u64 = 1 << 8;

/// How much the worths that are tried lean towards the best ones so far.
const CENTRED: f64 = 0.75;

/// The most fillings of a known packing that the programme begins with; more would only make it large.
const MOST_SEEDS: usize = 256;

/// Which part of the budget one search for a filling may use.
const SHARE: u64 = 40;

/// A lower bound in micro-dollars, found with about `budget` steps of search; 0 when nothing was proven.
/// `known` gives, for some packing, the size of each VM and the parts in it.
pub(crate) fn bound(
    problem: &Problem<'_>,
    parts: &[Part],
    known: &[(usize, Vec<usize>)],
    budget: u64,
) -> u64 {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable();
    let groups = sorted.chunk_by(|a, b| a == b);
    let kinds: Vec<(Part, u64)> = groups.map(|group| (group[0], group.len() as u64)).collect();
    if kinds.is_empty() || kinds.len() > MOST_KINDS {
        return 0;
    }
    let kind = |part: usize| kinds.binary_search_by(|(kind, _)| kind.cmp(&parts[part])).ok();
    let mut fillings: Fillings = Vec::new();
    for (size, inside) in known {
        let mut counts: Vec<(usize, u64)> = Vec::new();
        for kind in inside.iter().filter_map(|&part| kind(part)) {
            match counts.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => counts.push((kind, 1)),
            }
        }
        if !counts.is_empty() {
            fillings.push((*size, counts));
        }
    }
    if fillings.len() > MOST_SEEDS {
        fillings.iter_mut().for_each(|(_, counts)| counts.sort_unstable());
        fillings.sort_unstable();
        fillings.dedup();
        // Of all kinds, rather than the first in order.
        let every = fillings.len().div_ceil(MOST_SEEDS);
        fillings = fillings.into_iter().step_by(every).collect();
    }
    let Some(mut generation) = Generation::new(problem, kinds, budget) else { return 0 };
    if generation.seed(fillings).is_none() {
        return 0;
    }
    generation.run()
}

struct Generation<'p> {
    problem: &'p Problem<'p>,
    kinds: Vec<(Part, u64)>,
    /// Sizes that hold some kind.
    sizes: Vec<usize>,
    worths: Vec<Variable>,
    solution: Solution,
    /// Worths, in price steps, that proved the best bound so far. New ones are sought between these and
    /// the programme's, which jump about otherwise (Wentges, "Weighted Dantzig-Wolfe decomposition", 1997).
    centre: Vec<f64>,
    best: u64,
    step: u64,
    budget: u64,
}

/// The best filling found of a VM of some size: numbers of kinds, and how many of each.
type Fillings = Vec<(usize, Vec<(usize, u64)>)>;

impl<'p> Generation<'p> {
    /// Starts with worths that no part alone exceeds.
    fn new(problem: &'p Problem<'p>, kinds: Vec<(Part, u64)>, budget: u64) -> Option<Self> {
        let step = problem.price_step();
        let mut programme = Programme::new(OptimizationDirection::Maximize);
        let holds = |part: &Part, size: usize| {
            problem.profiles[part.profile][size] && fits(&part.need, &problem.sizes[size].room)
        };
        let sizes: Vec<usize> = (0..problem.sizes.len())
            .filter(|&size| kinds.iter().any(|(part, _)| holds(part, size)))
            .collect();
        let mut worths = Vec::with_capacity(kinds.len());
        for (part, count) in &kinds {
            let alone =
                sizes.iter().filter(|&&size| holds(part, size)).map(|&size| problem.sizes[size].price);
            let most = alone.min()? as f64 / step as f64;
            worths.push(programme.add_var(*count as f64, (0.0, most)));
        }
        let solution = programme.solve().ok()?.into_solution().ok()?;
        let demand = problem.demand();
        let worth = |(part, _): &(Part, u64)| problem.rates.worth(&part.need, &demand) / step as f64;
        let centre = kinds.iter().map(worth).collect();
        Some(Self { problem, kinds, sizes, worths, solution, centre, best: 0, step, budget })
    }

    /// Adds the fillings of a packing's VMs, which bring the programme near the truth at once.
    fn seed(&mut self, fillings: Fillings) -> Option<()> {
        fillings.into_iter().try_for_each(|(size, counts)| self.add(size, &counts))
    }

    /// Adds fillings until the bound cannot grow, or the budget is spent.
    fn run(mut self) -> u64 {
        let mut weight = CENTRED;
        for _ in 0..MOST_ROUNDS {
            let upper = (self.solution.objective() * self.step as f64) as u64;
            if self.best.div_ceil(self.step) >= upper.saturating_sub(1).div_ceil(self.step)
                || self.budget == 0
            {
                break;
            }
            let goal: Vec<f64> = self.worths.iter().map(|&v| self.solution.var_value(v).max(0.0)).collect();
            let blend = |(c, g): (&f64, &f64)| weight * c + (1.0 - weight) * g;
            let tried: Vec<f64> = self.centre.iter().zip(&goal).map(blend).collect();
            let (bound, fillings) = self.price(&tried);
            if bound > self.best {
                self.best = bound;
                self.centre = tried;
            }
            let cutting = |(size, counts): &(usize, Vec<(usize, u64)>)| {
                let worth: f64 = counts.iter().map(|&(kind, count)| goal[kind] * count as f64).sum();
                worth > self.problem.sizes[*size].price as f64 / self.step as f64 * (1.0 + 1e-6)
            };
            let fillings: Fillings = fillings.into_iter().filter(cutting).collect();
            if fillings.is_empty() && weight == 0.0 {
                break;
            }
            weight = if fillings.is_empty() { if weight > 0.3 { 0.3 } else { 0.0 } } else { CENTRED };
            if self.seed(fillings).is_none() {
                break;
            }
        }
        self.best
    }

    fn add(&mut self, size: usize, counts: &[(usize, u64)]) -> Option<()> {
        let price = self.problem.sizes[size].price as f64 / self.step as f64;
        let terms: Vec<(Variable, f64)> =
            counts.iter().map(|&(kind, count)| (self.worths[kind], count as f64)).collect();
        let outcome = self.solution.clone().add_constraint(terms, ComparisonOp::Le, price).ok()?;
        self.solution = outcome.into_solution().ok()?;
        Some(())
    }

    /// The bound that these worths prove, and the best filling of each size under them.
    fn price(&mut self, worths: &[f64]) -> (u64, Fillings) {
        let integer = |worth: &f64| (worth * (self.step * GRAIN) as f64).clamp(0.0, 1e15) as u64;
        let worths: Vec<u64> = worths.iter().map(integer).collect();
        let counted = self.kinds.iter().zip(&worths);
        let total: u128 = counted.map(|((_, count), &worth)| u128::from(*count) * u128::from(worth)).sum();
        let mut least = total / u128::from(GRAIN);
        let mut fillings = Vec::new();
        for &size in &self.sizes {
            let of = &self.problem.sizes[size];
            let kinds = self.kinds.iter().zip(&worths).enumerate();
            let kinds = kinds
                .filter(|(_, ((part, _), worth))| **worth > 0 && self.problem.profiles[part.profile][size]);
            let kinds = kinds.map(|(index, ((part, count), worth))| Kind {
                index,
                need: part.need,
                count: *count,
                worth: *worth,
            });
            let share = self.budget / SHARE;
            let mut left = share;
            let outcome = Knapsack::new(kinds.collect(), of.room).solve(&mut left);
            self.budget -= share - left;
            let most = u128::from(outcome.at_most);
            if most > u128::from(of.price) * u128::from(GRAIN) {
                // Scaled down by most / price, the worths fit every VM of this size.
                least = least.min(total * u128::from(of.price) / most);
            }
            fillings.push((size, outcome.counts));
        }
        (least as u64, fillings)
    }
}
