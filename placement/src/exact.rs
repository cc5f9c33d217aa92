//! The cheapest plan, and the proof that it is: sets of VMs are tried in order of price. Where every
//! cheaper set is shown to be too small, the set that holds everything is the best there can be.
//!
//! Effort is counted in steps. When it does not suffice, the plan is the best found, and the bound the
//! price below which everything was refuted.

use crate::bound::{Bound, Proof};
use crate::configuration;
use crate::error::PlacementError;
use crate::fill::{Choice, Measure, Scale, fill, fill_parts, split};
use crate::fit::{Part, Verdict, fit};
use crate::packing::{Packing, Piece};
use crate::plan::Plan;
use crate::price::Price;
use crate::problem::{Amount, Problem, plus};
use crate::strategy::{Strategy, Task};
use crate::vm_sets::{VmSet, vm_sets};

/// How many sets of one price are tried while the price is being found.
const SETS_A_PRICE: usize = 3;

/// How many prices below the one found are tried again.
const LEVELS_BELOW: usize = 12;

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
        let start = crate::local_search::improved(&problem)?;
        Ok(solve(&problem, start, self.effort).packing.finish())
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
    let mut search = Search::new(problem, start, effort);
    if search.best.cost() > search.bound.cost.0 {
        let known = search.known();
        let bound = configuration::bound(problem, &search.parts, &known, effort.columns);
        search.raise(bound, Proof::Configuration);
    }
    if search.best.cost() > search.bound.cost.0 && problem.relations.is_empty() {
        search.run();
    }
    Solved { packing: search.best, bound: search.bound }
}

/// What can be proven without a packing.
pub(crate) fn floor(problem: &Problem<'_>, effort: Effort) -> Bound {
    let mut search = Search::new(problem, Packing::new(problem), effort);
    search.raise(configuration::bound(problem, &search.parts, &[], effort.columns), Proof::Configuration);
    search.bound
}

/// A packing cheaper than `price`, if one is found: prices are tried from just below it downwards, until
/// one fails.
pub(crate) fn refill<'p>(problem: &'p Problem<'p>, price: u64, effort: Effort) -> Option<Packing<'p>> {
    let mut search = Search::new(problem, Packing::new(problem), effort);
    if search.bound.cost.0 >= price {
        return None;
    }
    let sets = vm_sets(problem, search.demand, price, effort.sets).sets;
    for group in sets.chunk_by(|a, b| a.price == b.price).rev() {
        let mut few = group.iter().take(SETS_A_PRICE);
        if !few.any(|set| matches!(search.search(set), Verdict::Fits(_))) {
            break;
        }
    }
    (!search.best.vms.is_empty()).then_some(search.best)
}

struct Search<'p> {
    problem: &'p Problem<'p>,
    scale: Scale,
    parts: Vec<Part>,
    /// The item and unit of each part; `None` for a whole item.
    origin: Vec<(usize, Option<usize>)>,
    /// What all of them take at least.
    demand: Amount,
    orders: Vec<Vec<usize>>,
    effort: Effort,
    best: Packing<'p>,
    bound: Bound,
    step: u64,
}

impl<'p> Search<'p> {
    fn new(problem: &'p Problem<'p>, best: Packing<'p>, effort: Effort) -> Self {
        let (parts, origin) = parts(problem);
        let demand = demand(problem);
        let step = price_step(problem);
        let floor = problem.rates.cost(&demand).div_ceil(step) * step;
        let bound = Bound { cost: Price(floor), proof: Proof::Continuous };
        let scale = Scale::of(problem);
        let orders = Measure::ALL.map(|measure| scale.order(problem, measure)).to_vec();
        Self { problem, scale, parts, origin, demand, orders, effort, best, bound, step }
    }

    /// The best packing as the parts in each VM.
    fn known(&self) -> Vec<(usize, Vec<usize>)> {
        let mut first = vec![0; self.problem.items.len()];
        for (part, (item, _)) in self.origin.iter().enumerate().rev() {
            first[*item] = part;
        }
        let parts = |piece: &Piece| -> Vec<usize> {
            let count = self.problem.items[piece.item].units.len().max(1);
            let from = first[piece.item];
            if piece.units.is_empty() {
                (from..from + count).collect()
            } else {
                piece.units.iter().map(|unit| from + unit).collect()
            }
        };
        let vms = self.best.vms.iter().filter(|vm| !vm.pieces.is_empty());
        vms.map(|vm| (vm.size, vm.pieces.iter().flat_map(parts).collect())).collect()
    }

    fn raise(&mut self, cost: u64, proof: Proof) {
        let cost = cost.div_ceil(self.step) * self.step;
        if cost > self.bound.cost.0 {
            self.bound = Bound { cost: Price(cost), proof };
        }
    }

    fn run(&mut self) {
        let listed = vm_sets(self.problem, self.demand, self.best.cost(), self.effort.sets);
        let mut groups: Vec<&[VmSet]> = listed.sets.chunk_by(|a, b| a.price == b.price).collect();
        groups.retain(|group| group[0].price >= self.bound.cost.0);
        self.halve(&groups);
        let mut refuted = true;
        for group in groups {
            let price = group[0].price;
            if price >= self.best.cost() {
                break;
            }
            if refuted {
                self.raise(price, Proof::Search);
            }
            for set in group {
                match self.search(set) {
                    Verdict::Fits(_) => break,
                    Verdict::Never => {}
                    Verdict::Unknown => refuted = false,
                }
            }
            if !refuted && self.effort.searches == 0 {
                break;
            }
        }
        if refuted {
            self.raise(self.best.cost().min(listed.complete_below), Proof::Search);
        }
    }

    /// Finds, by halving, a price about as low as fillings can reach, and then goes on below it.
    fn halve(&mut self, groups: &[&[VmSet]]) {
        let (mut low, mut high) = (0, groups.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.any_filled(groups[middle]) { high = middle } else { low = middle + 1 }
        }
        for group in groups[..high].iter().rev().take(LEVELS_BELOW) {
            self.any_filled(group);
        }
    }

    /// Whether one of the sets with fewest VMs is filled.
    fn any_filled(&mut self, group: &[VmSet]) -> bool {
        group.iter().take(SETS_A_PRICE).any(|set| self.filled(set))
    }

    /// Tries to fill a set of VMs in several ways, and keeps the best packing.
    fn filled(&mut self, set: &VmSet) -> bool {
        let mut held = false;
        for order in 0..self.orders.len() {
            for choice in [Choice::Tightest, Choice::Aligned] {
                let steps = ((self.problem.items.len() + 8) * set.sizes.len()) as u64;
                let Some(left) = self.effort.fillings.checked_sub(steps) else { return held };
                self.effort.fillings = left;
                let Some(mut packing) = Packing::with_vms(self.problem, &set.sizes) else { return false };
                let rest = fill(&mut packing, self.scale, &self.orders[order], choice);
                if rest.is_empty() {
                    self.keep(packing);
                    return true;
                }
                let units: usize = rest.iter().map(|&item| self.problem.items[item].units.len()).sum();
                self.effort.fillings = left.saturating_sub((units * set.sizes.len()) as u64);
                if split(&mut packing, self.scale, &rest) {
                    held = true;
                    self.keep(packing);
                }
            }
        }
        held || self.ground(set)
    }

    /// Tries to fill a set of VMs with the units one by one, whatever is split by it.
    fn ground(&mut self, set: &VmSet) -> bool {
        if self.parts.len() == self.problem.items.len() {
            return false;
        }
        for choice in [Choice::Tightest, Choice::Aligned] {
            let steps = (self.parts.len() * set.sizes.len()) as u64;
            let Some(left) = self.effort.fillings.checked_sub(steps) else { return false };
            self.effort.fillings = left;
            let places = fill_parts(&self.parts, self.problem, &set.sizes, self.scale, choice);
            if let Some(packing) = places.and_then(|places| self.assemble(set, &places)) {
                self.keep(packing);
                return true;
            }
        }
        false
    }

    fn keep(&mut self, packing: Packing<'p>) {
        if self.best.vms.is_empty() || packing.score() < self.best.score() {
            self.best = packing;
        }
    }

    /// Searches one set of VMs completely.
    fn search(&mut self, set: &VmSet) -> Verdict {
        if self.filled(set) {
            return Verdict::Fits(Vec::new());
        }
        let rooms: Vec<Amount> = set.sizes.iter().map(|&size| self.problem.sizes[size].room).collect();
        let budget = self.effort.search.min(self.effort.searches);
        if budget == 0 {
            return Verdict::Unknown;
        }
        let mut left = budget;
        let verdict = fit(&self.parts, &rooms, &set.sizes, &self.problem.profiles, &mut left);
        self.effort.searches -= budget - left;
        match verdict {
            Verdict::Fits(places) => match self.assemble(set, &places) {
                Some(packing) => {
                    self.keep(packing);
                    Verdict::Fits(places)
                }
                None => Verdict::Unknown,
            },
            other => other,
        }
    }

    /// The packing in which each part is in the VM of `places`; `None` when fractions need more than their
    /// parts alone, or are too many.
    fn assemble(&self, set: &VmSet, places: &[usize]) -> Option<Packing<'p>> {
        let problem = self.problem;
        let mut packing = Packing::with_vms(problem, &set.sizes)?;
        let mut fractions: Vec<Vec<(usize, Vec<usize>)>> = vec![Vec::new(); problem.items.len()];
        for (&(item, unit), &vm) in self.origin.iter().zip(places) {
            let of = &mut fractions[item];
            match of.iter_mut().find(|(at, _)| *at == vm) {
                Some((_, units)) => units.extend(unit),
                None => of.push((vm, unit.into_iter().collect())),
            }
        }
        for (item, of) in fractions.into_iter().enumerate() {
            if of.len() > problem.max_fractions() {
                return None;
            }
            let split = of.len() > 1;
            for (vm, units) in of {
                let piece =
                    if split { Piece::fraction(problem, item, units) } else { Piece::whole(problem, item) };
                if !packing.admits(vm, item, &piece.need) {
                    return None;
                }
                packing.put(vm, piece);
            }
        }
        packing.hosts_hold().then_some(packing)
    }
}

/// What must be placed at least: units where items may be split, else whole items.
pub(crate) fn parts(problem: &Problem<'_>) -> (Vec<Part>, Vec<(usize, Option<usize>)>) {
    let (mut parts, mut origin) = (Vec::new(), Vec::new());
    for (index, item) in problem.items.iter().enumerate() {
        let profile = item.profile;
        if item.units.is_empty() {
            parts.push(Part { need: item.whole, profile });
            origin.push((index, None));
        }
        for (unit, of) in item.units.iter().enumerate() {
            parts.push(Part { need: of.least, profile });
            origin.push((index, Some(unit)));
        }
    }
    (parts, origin)
}

/// What all items take at least together.
pub(crate) fn demand(problem: &Problem<'_>) -> Amount {
    let whole = problem.items.iter().map(|item| item.whole);
    whole.fold([0; 4], plus)
}

/// The amount that all prices are multiples of.
pub(crate) fn price_step(problem: &Problem<'_>) -> u64 {
    fn divisor(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { divisor(b, a % b) }
    }
    problem.sizes.iter().fold(0, |step, size| divisor(step, size.price)).max(1)
}
