//! Local search where items seek or avoid each other: a few VMs are emptied, and what was in them, or in part in
//! them, is put back one by one, wherever its demands hold. What is cheaper, or no dearer, is kept.
//!
//! Demands go across the whole client, so that no part of the packing can be solved alone, as
//! [`local_search`](crate::local_search) does for items without any.

use crate::draw::{Draw, MOST_ITEMS};
use crate::fill::{Measure, Scale};
use crate::packing::{Packing, Piece};

/// Items that may be put down anew in all rounds together: each round copies the packing.
const MOST_COPIES: usize = 8_000_000;

/// Improves a packing in at most `rounds` rounds, until it costs no more than `floor`.
pub(crate) fn search(best: &mut Packing<'_>, draw: &mut Draw, rounds: usize, floor: u64) {
    let scale = Scale::of(best.problem);
    let rounds = rounds.min(MOST_COPIES / best.problem.items.len().max(1));
    for _ in 0..rounds {
        if best.vms.len() < 2 || best.cost() <= floor {
            return;
        }
        let (mut next, items) = best.without(&group(best, draw));
        let moved = items.len() <= MOST_ITEMS && put_back(&mut next, scale, &items, draw);
        if !moved {
            continue;
        }
        next.shrink();
        if next.score() <= best.score() && next.hosts_hold() && next.relations_hold() {
            *best = next;
        }
    }
}

/// Two to five VMs.
fn group(packing: &Packing<'_>, draw: &mut Draw) -> Vec<usize> {
    let mut group: Vec<usize> = (0..2 + draw.below(4)).map(|_| draw.below(packing.vms.len())).collect();
    group.sort_unstable();
    group.dedup();
    group
}

/// Puts each item, whole, into the VM that it fits tightest, or into a new one: the cheapest that holds it, or by
/// chance any. Whether all went in.
fn put_back(packing: &mut Packing<'_>, scale: Scale, items: &[usize], draw: &mut Draw) -> bool {
    let problem = packing.problem;
    let mut order: Vec<(bool, std::cmp::Reverse<u64>, usize)> = Vec::with_capacity(items.len());
    for &item in items {
        let size = scale.measure(&problem.items[item].whole, Measure::Dominant);
        // Those that seek others after them.
        order.push((problem.relations.seeks(item), std::cmp::Reverse(draw.enlarged(size)), item));
    }
    order.sort_unstable();
    order.into_iter().all(|(_, _, item)| {
        let need = problem.items[item].whole;
        let room = |vm: usize| scale.measure(&packing.vms[vm].room, Measure::Sum);
        let admitting = (0..packing.vms.len()).filter(|&vm| packing.admits(vm, item, &need));
        let vm = admitting.min_by_key(|&vm| (room(vm), vm)).or_else(|| {
            let any = draw.below(2 * problem.sizes.len());
            let drawn = (any < problem.sizes.len() && packing.would_admit(any, item, &need)).then_some(any);
            drawn.or_else(|| packing.cheapest(item, &need)).map(|size| packing.open(size))
        });
        vm.inspect(|&vm| packing.put(vm, Piece::whole(problem, item))).is_some()
    })
}
