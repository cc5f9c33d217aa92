//! Best-fit decreasing: the largest items first, each into the fullest VM that can still hold it.
//!
//! New VMs are of one size, tried in turn for each of the sizes that are worth most for their price; in
//! the end every VM is exchanged for the cheapest size that holds what is in it. Where pods may be split,
//! an item is spread over room that is there already rather than put into a new VM.
//!
//! Cost: the VMs are kept sorted by the room they have left, and an item looks at a bounded number of
//! them from the tightest on, so n items take n log n steps for each size that is tried.

use std::collections::BTreeSet;

use crate::error::PlacementError;
use crate::fill::{Measure, Scale, split};
use crate::item::{Amount, fits};
use crate::packing::{Packing, Piece};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::room_index::RoomIndex;
use crate::strategy::{Strategy, Task};

/// How many VMs an item looks at, from the tightest on.
const MOST_PROBES: usize = 64;

/// How many nodes it looks at after that, in search of any VM with room.
const MOST_NODES: usize = 256;

/// How many sizes are tried for new VMs.
const MOST_SIZES: usize = 8;

/// In how many open VMs a split item seeks room; more would make large fleets quadratic.
const MOST_SPLIT_OVER: usize = 256;

/// Best-fit decreasing.
#[derive(Clone, Copy, Debug, Default)]
pub struct BestFit;

impl Strategy for BestFit {
    fn name(&self) -> &'static str {
        "best-fit"
    }

    fn place(&self, task: Task<'_>) -> Result<Plan, PlacementError> {
        let problem = Problem::new(task)?;
        Ok(best_fit(&problem)?.finish())
    }
}

/// The best of the packings by size of new VMs, without and, where allowed, with splitting.
///
/// # Errors
/// The item for which there is no VM.
pub(crate) fn best_fit<'p>(problem: &'p Problem<'p>) -> Result<Packing<'p>, PlacementError> {
    if problem.items.is_empty() {
        return Ok(Packing::new(problem));
    }
    let scale = Scale::of(problem);
    let order = scale.order(problem, Measure::Dominant);
    let splittable = problem.items.iter().any(|item| !item.units.is_empty());
    let mut best: Result<Packing<'p>, PlacementError> = Err(PlacementError::EmptyCatalogue);
    for size in worthwhile_sizes(problem) {
        for splitting in if splittable { &[false, true][..] } else { &[false] } {
            let next = pack(problem, scale, &order, size, *splitting);
            let better = match (&best, &next) {
                (Ok(best), Ok(next)) => next.score() < best.score(),
                (Err(_), _) => true,
                (Ok(_), Err(_)) => false,
            };
            if better {
                best = next;
            }
        }
    }
    best
}

/// The sizes to buy, those that give most of the scarcer resource for their price first; the largest of
/// equals first.
pub(crate) fn worthwhile_sizes(problem: &Problem<'_>) -> Vec<usize> {
    let demand = problem.demand();
    let mut sizes = problem.usable_sizes();
    let cost = |size: usize| {
        let of = &problem.sizes[size];
        let vms = |d: usize| (u128::from(demand[d]) << 20).div_ceil(u128::from(of.room[d].max(1)));
        vms(0).max(vms(1)) * u128::from(of.price)
    };
    sizes.sort_by_key(|&size| (cost(size), std::cmp::Reverse(problem.sizes[size].price), size));
    sizes.truncate(MOST_SIZES);
    sizes
}

fn pack<'p>(
    problem: &'p Problem<'p>,
    scale: Scale,
    order: &[usize],
    size: usize,
    splitting: bool,
) -> Result<Packing<'p>, PlacementError> {
    let mut open = Open::new(problem, scale);
    for &item in order {
        let need = problem.items[item].whole;
        if let Some(vm) = open.tightest(item, &need) {
            open.put(vm, item);
            continue;
        }
        let can_split = !problem.items[item].units.is_empty();
        if splitting && can_split && open.packing.vms.len() <= MOST_SPLIT_OVER && open.split(item) {
            continue;
        }
        if let Some(vm) = open.buy(item, &need, size) {
            open.put(vm, item);
        } else if !(can_split && open.split_over_new(item)) {
            return Err(problem.no_room(item));
        }
    }
    open.packing.shrink();
    Ok(open.packing)
}

/// A packing with its VMs sorted by the room they have.
struct Open<'p> {
    packing: Packing<'p>,
    scale: Scale,
    by_room: BTreeSet<(u64, usize)>,
    index: RoomIndex,
}

impl<'p> Open<'p> {
    fn new(problem: &'p Problem<'p>, scale: Scale) -> Self {
        let packing = Packing::new(problem);
        Self { packing, scale, by_room: BTreeSet::new(), index: RoomIndex::new(problem) }
    }

    fn key(&self, room: &Amount) -> u64 {
        self.scale.measure(room, Measure::Dominant)
    }

    fn tightest(&self, item: usize, need: &Amount) -> Option<usize> {
        let near = self.by_room.range((self.key(need), 0)..).take(MOST_PROBES);
        let near = near.map(|&(_, vm)| vm).find(|&vm| self.packing.admits(vm, item, need));
        near.or_else(|| self.index.first(&self.packing, item, need, MOST_NODES))
    }

    fn buy(&mut self, item: usize, need: &Amount, size: usize) -> Option<usize> {
        let suits = self.packing.would_admit(size, item, need);
        let size = if suits { size } else { self.packing.cheapest(item, need)? };
        Some(self.open(size))
    }

    fn open(&mut self, size: usize) -> usize {
        let vm = self.packing.open(size);
        self.moved(vm, &self.packing.vms[vm].room.clone());
        vm
    }

    fn put(&mut self, vm: usize, item: usize) {
        let before = self.packing.vms[vm].room;
        self.packing.put(vm, Piece::whole(self.packing.problem, item));
        self.moved(vm, &before);
    }

    fn moved(&mut self, vm: usize, before: &Amount) {
        self.by_room.remove(&(self.key(before), vm));
        self.by_room.insert((self.key(&self.packing.vms[vm].room), vm));
        self.index.update(&self.packing, vm);
    }

    /// Splits an item over the open VMs, or changes nothing.
    fn split(&mut self, item: usize) -> bool {
        let mut next = self.packing.clone();
        if !split(&mut next, self.scale, &[item]) {
            return false;
        }
        self.take(next);
        true
    }

    /// Splits an item that is too large for any VM over the room there is and new VMs of the sizes with
    /// most room.
    fn split_over_new(&mut self, item: usize) -> bool {
        let problem = self.packing.problem;
        let mut next = self.packing.clone();
        let roomy = (0..problem.sizes.len()).max_by_key(|&size| {
            let usable =
                problem.admits(item, size) && fits(&problem.items[item].fraction, &problem.sizes[size].room);
            usable.then(|| self.key(&problem.sizes[size].room))
        });
        let Some(size) = roomy else { return false };
        for _ in 0..problem.items[item].units.len() {
            if !next.would_admit(size, item, &problem.items[item].fraction) {
                return false;
            }
            next.open(size);
            let mut trial = next.clone();
            if split(&mut trial, self.scale, &[item]) {
                self.take(trial);
                return true;
            }
        }
        false
    }

    fn take(&mut self, next: Packing<'p>) {
        let before: Vec<Amount> = self.packing.vms.iter().map(|vm| vm.room).collect();
        self.packing = next;
        for vm in 0..self.packing.vms.len() {
            match before.get(vm) {
                Some(room) if *room == self.packing.vms[vm].room => {}
                Some(room) => self.moved(vm, room),
                None => self.moved(vm, &self.packing.vms[vm].room.clone()),
            }
        }
    }
}
