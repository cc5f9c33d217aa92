//! Tries to put everything into a given set of VMs: by filling it in several ways, then by a complete search.

use crate::bound::Bound;
use crate::effort::Effort;
use crate::fill::{Choice, Measure, Scale, fill, fill_parts, split};
use crate::fit::{Verdict, fit};
use crate::item::{Amount, Part};
use crate::packing::{Packing, Piece};
use crate::problem::Problem;
use crate::vm_sets::{VmSet, vm_sets};

/// How many sets of one price are tried while the price is being found.
const SETS_A_PRICE: usize = 3;

/// A packing cheaper than `price`, if one is found: prices are tried from just below it downwards, until
/// one fails.
pub(crate) fn refill<'p>(problem: &'p Problem<'p>, price: u64, effort: Effort) -> Option<Packing<'p>> {
    if Bound::continuous(problem).cost.0 >= price {
        return None;
    }
    let mut search = SetSearch::new(problem, Packing::new(problem), effort);
    let sets = vm_sets(problem, problem.demand(), price, effort.sets).sets;
    for group in sets.chunk_by(|a, b| a.price == b.price).rev() {
        let mut few = group.iter().take(SETS_A_PRICE);
        if !few.any(|set| matches!(search.search(set), Verdict::Fits(_))) {
            break;
        }
    }
    (!search.best.vms.is_empty()).then_some(search.best)
}

/// What the searches of one client share: the best packing so far, and the effort that is left.
pub(crate) struct SetSearch<'p> {
    problem: &'p Problem<'p>,
    scale: Scale,
    pub(crate) parts: Vec<Part>,
    /// The item and unit of each part; `None` for a whole item.
    origin: Vec<(usize, Option<usize>)>,
    orders: Vec<Vec<usize>>,
    pub(crate) effort: Effort,
    pub(crate) best: Packing<'p>,
}

impl<'p> SetSearch<'p> {
    pub(crate) fn new(problem: &'p Problem<'p>, best: Packing<'p>, effort: Effort) -> Self {
        let (parts, origin) = problem.parts();
        let scale = Scale::of(problem);
        let orders = Measure::ALL.map(|measure| scale.order(problem, measure)).to_vec();
        Self { problem, scale, parts, origin, orders, effort, best }
    }

    /// The best packing as the parts in each VM.
    pub(crate) fn known(&self) -> Vec<(usize, Vec<usize>)> {
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

    /// Whether one of the sets with fewest VMs is filled.
    pub(crate) fn any_filled(&mut self, group: &[VmSet]) -> bool {
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
    pub(crate) fn search(&mut self, set: &VmSet) -> Verdict {
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
