//! Dot product (Panigrahy et al., "Heuristics for Vector Bin Packing", 2011): VMs are filled one after the
//! other, each time with the item whose needs are most alike to the room that is left.
//!
//! Items are looked at in groups of bounded size, so that the cost grows in proportion to their number.

use crate::best_fit::{best_fit, worthwhile_sizes};
use crate::error::PlacementError;
use crate::fill::{Choice, Measure, Scale, fill, split};
use crate::item::Amount;
use crate::packing::{Packing, Piece};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::strategy::{Strategy, Task};

/// How many items are compared for the next place in a VM.
const GROUP: usize = 512;

/// The dot-product heuristic.
#[derive(Clone, Copy, Debug, Default)]
pub struct DotProduct;

impl Strategy for DotProduct {
    fn name(&self) -> &'static str {
        "dot-product"
    }

    fn place(&self, task: Task<'_>) -> Result<Plan, PlacementError> {
        let problem = Problem::new(task)?;
        let base = best_fit(&problem)?;
        Ok(dot_product(&problem, base).finish())
    }
}

/// The best of the packings by size of VMs, and of `base`, which is best fit's: items that no VM holds whole, or that
/// this heuristic cannot place because others' demands stand against it, are left to that.
pub(crate) fn dot_product<'p>(problem: &'p Problem<'p>, base: Packing<'p>) -> Packing<'p> {
    let scale = Scale::of(problem);
    let mut order = scale.order(problem, Measure::Dominant);
    if order.len() > GROUP {
        // Deal the items out, so that every group has large and small ones.
        let groups = order.len().div_ceil(GROUP);
        order = (0..groups).flat_map(|first| order.iter().copied().skip(first).step_by(groups)).collect();
    }
    let mut best = base;
    for size in worthwhile_sizes(problem) {
        let Some(mut next) = pack(problem, scale, &order, size) else { continue };
        if problem.max_fractions() > 1 {
            dissolve(&mut next, scale);
        }
        next.shrink();
        if next.score() < best.score() {
            best = next;
        }
    }
    best
}

fn pack<'p>(problem: &'p Problem<'p>, scale: Scale, order: &[usize], size: usize) -> Option<Packing<'p>> {
    let mut packing = Packing::new(problem);
    for group in order.chunks(GROUP) {
        let mut left: Vec<(usize, Amount, [u64; 2])> = Vec::with_capacity(group.len());
        for &item in group {
            let need = problem.items[item].whole;
            left.push((item, need, scale.shares(&need)));
        }
        while let Some(&(item, need, _)) = left.first() {
            let suits = packing.would_admit(size, item, &need);
            let vm = packing.open(if suits { size } else { packing.cheapest(item, &need)? });
            let mut next = Some(0);
            while let Some(position) = next {
                let (item, ..) = left.remove(position);
                packing.put(vm, Piece::whole(problem, item));
                next = most_alike(&packing, scale, vm, &left);
            }
        }
    }
    Some(packing)
}

/// The position in `left` of the item whose dot product with the room of `vm` is largest.
fn most_alike(
    packing: &Packing<'_>,
    scale: Scale,
    vm: usize,
    left: &[(usize, Amount, [u64; 2])],
) -> Option<usize> {
    let [cpu, memory] = scale.shares(&packing.vms[vm].room).map(u128::from);
    let alike = |shares: &[u64; 2]| u128::from(shares[0]) * cpu + u128::from(shares[1]) * memory;
    let admitted = left.iter().enumerate().filter(|(_, (item, need, _))| packing.admits(vm, *item, need));
    let ranked = admitted.map(|(position, (_, _, shares))| (alike(shares), std::cmp::Reverse(position)));
    ranked.max().map(|(_, std::cmp::Reverse(position))| position)
}

/// Splits what is in the last VMs over room elsewhere, as long as a VM becomes empty by it.
fn dissolve(packing: &mut Packing<'_>, scale: Scale) {
    for _ in 0..4 {
        let Some(last) = packing.vms.iter().rposition(|vm| !vm.pieces.is_empty()) else { return };
        let (mut next, items) = packing.without(&[last]);
        let rest = fill(&mut next, scale, &items, Choice::Tightest);
        if !split(&mut next, scale, &rest) {
            return;
        }
        *packing = next;
    }
}
