//! Local search: starts from the best of the constructive heuristics, then takes a few VMs at a time and
//! looks for a cheaper set of VMs that holds the same items.
//!
//! The number of rounds is bounded and a round looks at a bounded number of items, so that the cost is
//! that of the heuristics it starts from. Where items seek or avoid each other, [`related`] does it in
//! another way.

use crate::best_fit::best_fit;
use crate::dot_product::dot_product;
use crate::draw::{Draw, MOST_ITEMS};
use crate::effort::Effort;
use crate::error::PlacementError;
use crate::fill::{Measure, Scale};
use crate::hostlo::post_pass;
use crate::kubernetes::as_it_is;
use crate::packing::{Packing, Piece, Vm};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::related;
use crate::set_search::refill;
use crate::strategy::{Strategy, Task};

/// Rounds for each VM of the starting point, and the most in all.
const ROUNDS_PER_VM: usize = 60;
const MOST_ROUNDS: usize = 1500;

/// Beyond this many items the post-pass is no starting point: it is tried on its own.
pub(crate) const LARGE: usize = 20_000;

/// Local search from the best of the other heuristics; the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalSearch;

impl Strategy for LocalSearch {
    fn name(&self) -> &'static str {
        "local-search"
    }

    fn place(&self, task: Task<'_>) -> Result<Plan, PlacementError> {
        let problem = Problem::new(task)?;
        Ok(improved(&problem)?.finish())
    }
}

/// The best packing that constructive heuristics and local search find.
///
/// # Errors
/// The item for which there is no VM.
pub(crate) fn improved<'p>(problem: &'p Problem<'p>) -> Result<Packing<'p>, PlacementError> {
    let mut best = constructed(problem)?;
    search(&mut best);
    Ok(best)
}

fn constructed<'p>(problem: &'p Problem<'p>) -> Result<Packing<'p>, PlacementError> {
    let (fitted, scheduled) = (best_fit(problem), as_it_is(problem));
    let mut found = vec![fitted.clone(), scheduled.clone()];
    found.push(fitted.map(|base| dot_product(problem, base)));
    if problem.items.len() <= LARGE && problem.max_fractions() > 1 {
        found.extend(scheduled.map(|mut packing| {
            post_pass(&mut packing);
            Ok(packing)
        }));
    }
    let refusal = found.iter().find_map(|packing| packing.as_ref().err()).cloned();
    let valid = found.into_iter().flatten().filter(Packing::hosts_hold);
    let best = valid.min_by_key(Packing::score);
    best.ok_or_else(|| refusal.unwrap_or_else(|| problem.no_room(0)))
}

/// Improves a packing, a few VMs at a time.
pub(crate) fn search(packing: &mut Packing<'_>) {
    let mut draw = Draw::default();
    let rounds = (packing.vms.len() * ROUNDS_PER_VM).min(MOST_ROUNDS);
    let floor = packing.problem.rates.cost(&packing.problem.demand());
    if !packing.problem.relations.is_empty() {
        return related::search(packing, &mut draw, rounds, floor);
    }
    for _ in 0..rounds {
        if packing.vms.len() < 2 || packing.cost() <= floor {
            return;
        }
        let group = group(packing, &mut draw);
        if !cheaper(packing, &group) {
            stir(packing, &group, &mut draw);
        }
    }
}

/// Two to five VMs with few enough items, none of which has pieces elsewhere.
fn group(packing: &Packing<'_>, draw: &mut Draw) -> Vec<usize> {
    let wanted = 2 + draw.below(4);
    let mut group: Vec<usize> = Vec::new();
    let mut items = 0;
    for _ in 0..3 * wanted {
        let vm = draw.below(packing.vms.len());
        let pieces = &packing.vms[vm].pieces;
        let closed = pieces.iter().all(|piece| piece.units.is_empty());
        if group.len() < wanted && !group.contains(&vm) && closed && items + pieces.len() <= MOST_ITEMS {
            items += pieces.len();
            group.push(vm);
        }
    }
    group.sort_unstable();
    group
}

/// Exchanges the VMs of `group` for a cheaper set that holds the same items, if one is found.
fn cheaper(packing: &mut Packing<'_>, group: &[usize]) -> bool {
    let price: u64 = group.iter().map(|&vm| packing.problem.sizes[packing.vms[vm].size].price).sum();
    let items: Vec<usize> =
        group.iter().flat_map(|&vm| packing.vms[vm].pieces.iter().map(|piece| piece.item)).collect();
    let part = packing.problem.subset(&items);
    let Some(fresh) = refill(&part, price, Effort::ROUND) else { return false };
    let before: Vec<(usize, Vm)> = group.iter().map(|&vm| (vm, packing.vms[vm].clone())).collect();
    let mut fresh = fresh.vms.into_iter().filter(|vm| !vm.pieces.is_empty());
    let known = packing.vms.len();
    for &slot in group {
        let vm = fresh.next().map(|vm| relabelled(vm, &items));
        packing.replace(slot, vm);
    }
    for vm in fresh {
        let at = packing.open(vm.size);
        packing.replace(at, Some(relabelled(vm, &items)));
    }
    if !packing.within_availability() || !packing.hosts_hold() {
        packing.close_from(known);
        packing.restore(before);
        return false;
    }
    packing.drop_empty();
    true
}

/// A VM of a part of the problem, as one of the whole problem.
fn relabelled(vm: Vm, items: &[usize]) -> Vm {
    let pieces = vm.pieces.into_iter().map(|piece| Piece { item: items[piece.item], ..piece });
    Vm { pieces: pieces.collect(), ..vm }
}

/// Puts the items of `group` into the same VMs in another way, so that the next rounds see something new.
/// Room is gathered in few VMs: a way that scatters it more is not taken.
fn stir(packing: &mut Packing<'_>, group: &[usize], draw: &mut Draw) {
    let problem = packing.problem;
    let scale = Scale::of(problem);
    let gathered = |packing: &Packing<'_>| -> u128 {
        let square = |vm: &usize| {
            let [cpu, memory] = scale.shares(&packing.vms[*vm].room).map(u128::from);
            cpu.min(memory).pow(2)
        };
        group.iter().map(square).sum()
    };
    let before: Vec<(usize, Vm)> = group.iter().map(|&vm| (vm, packing.vms[vm].clone())).collect();
    let mut items: Vec<(u64, usize)> = Vec::new();
    for piece in before.iter().flat_map(|(_, vm)| &vm.pieces) {
        let size = scale.measure(&piece.need, Measure::Sum);
        items.push((draw.enlarged(size), piece.item));
    }
    items.sort_unstable_by(|a, b| b.cmp(a));
    let was = gathered(packing);
    for &(_, item) in &items {
        group.iter().for_each(|&vm| {
            packing.take(vm, item);
        });
    }
    for (_, item) in items {
        let need = problem.items[item].whole;
        let room = |vm: usize| scale.measure(&packing.vms[vm].room, Measure::Sum);
        let admitting = group.iter().copied().filter(|&vm| packing.admits(vm, item, &need));
        let Some(vm) = admitting.min_by_key(|&vm| (room(vm), vm)) else {
            packing.restore(before);
            return;
        };
        packing.put(vm, Piece::whole(problem, item));
    }
    if gathered(packing) < was {
        packing.restore(before);
    }
}
