//! A placement in the making: VMs with room left, and the pieces of items put into them. Every strategy
//! builds its plan through this, so that no strategy can break a rule by itself.

use crate::item::{Amount, fits, minus, plus};
use crate::leaders::Leaders;
use crate::plan::Score;
use crate::price::Price;
use crate::problem::Problem;
use crate::relation::Census;
use crate::resources::Resources;
use crate::strategy::HostModel;

/// An item, or some units of one, in a VM.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Which item.
    pub(crate) item: usize,
    /// Which of its units; empty for the whole item.
    pub(crate) units: Vec<usize>,
    /// What it takes.
    pub(crate) need: Amount,
}

impl Piece {
    /// All of an item.
    pub(crate) fn whole(problem: &Problem<'_>, item: usize) -> Self {
        Self { item, units: Vec::new(), need: problem.items[item].whole }
    }

    /// Some units of an item, as a fraction of it.
    pub(crate) fn fraction(problem: &Problem<'_>, item: usize, units: Vec<usize>) -> Self {
        let of = &problem.items[item];
        let need = units.iter().fold(of.fraction, |sum, &unit| plus(sum, of.units[unit].need));
        Self { item, units, need }
    }
}

/// A VM that would be bought.
#[derive(Clone, Debug)]
pub(crate) struct Vm {
    /// Its size.
    pub(crate) size: usize,
    /// What is left of it.
    pub(crate) room: Amount,
    /// What is in it.
    pub(crate) pieces: Vec<Piece>,
}

/// VMs being filled.
#[derive(Clone, Debug)]
pub(crate) struct Packing<'p> {
    /// What is packed.
    pub(crate) problem: &'p Problem<'p>,
    /// The VMs so far, some perhaps empty.
    pub(crate) vms: Vec<Vm>,
    /// How many of each size.
    used: Vec<u32>,
    census: Census,
}

impl<'p> Packing<'p> {
    /// No VM yet.
    pub(crate) fn new(problem: &'p Problem<'p>) -> Self {
        let census = Census::new(&problem.relations);
        Self { problem, vms: Vec::new(), used: vec![0; problem.sizes.len()], census }
    }

    /// Empty VMs of these sizes; `None` when the catalogue has fewer.
    pub(crate) fn with_vms(problem: &'p Problem<'p>, sizes: &[usize]) -> Option<Self> {
        let mut packing = Self::new(problem);
        for &size in sizes {
            if !packing.has(size) {
                return None;
            }
            packing.open(size);
        }
        Some(packing)
    }

    /// Whether another VM of `size` can be had.
    pub(crate) fn has(&self, size: usize) -> bool {
        self.used[size] < self.problem.sizes[size].available
    }

    /// Buys a VM of `size` and returns its index.
    pub(crate) fn open(&mut self, size: usize) -> usize {
        self.used[size] += 1;
        self.vms.push(Vm { size, room: self.problem.sizes[size].room, pieces: Vec::new() });
        self.vms.len() - 1
    }

    /// Whether VM `vm` can take `need` for `item`, of which it holds nothing yet.
    pub(crate) fn admits(&self, vm: usize, item: usize, need: &Amount) -> bool {
        let at = &self.vms[vm];
        fits(need, &at.room) && self.allows(vm, item, at.size)
    }

    fn allows(&self, vm: usize, item: usize, size: usize) -> bool {
        self.problem.admits(item, size)
            && (self.problem.relations.is_empty()
                || self.census.admits(&self.problem.relations, item, vm, size))
    }

    /// Whether a new VM of `size` could take `need` for `item`.
    pub(crate) fn would_admit(&self, size: usize, item: usize, need: &Amount) -> bool {
        fits(need, &self.problem.sizes[size].room)
            && self.has(size)
            && self.allows(self.vms.len(), item, size)
    }

    /// The cheapest size whose new VM could take `need` for `item`; the first of equals.
    pub(crate) fn cheapest(&self, item: usize, need: &Amount) -> Option<usize> {
        let sizes = (0..self.problem.sizes.len()).filter(|&size| self.would_admit(size, item, need));
        sizes.min_by_key(|&size| self.problem.sizes[size].price)
    }

    /// Puts a piece into a VM that admits it.
    pub(crate) fn put(&mut self, vm: usize, piece: Piece) {
        let at = &mut self.vms[vm];
        at.room = minus(at.room, piece.need);
        if !self.problem.relations.is_empty() {
            self.census.add(&self.problem.relations, piece.item, vm, at.size);
        }
        at.pieces.push(piece);
    }

    /// The same packing without these VMs, and without the items that were in them, wholly or in part;
    /// with those items, ascending.
    pub(crate) fn without(&self, vms: &[usize]) -> (Self, Vec<usize>) {
        let mut items: Vec<usize> =
            vms.iter().flat_map(|&vm| &self.vms[vm].pieces).map(|piece| piece.item).collect();
        items.sort_unstable();
        items.dedup();
        let mut next = Self::new(self.problem);
        for (_, vm) in self.vms.iter().enumerate().filter(|(vm, _)| !vms.contains(vm)) {
            let at = next.open(vm.size);
            for piece in vm.pieces.iter().filter(|piece| items.binary_search(&piece.item).is_err()) {
                next.put(at, piece.clone());
            }
        }
        (next, items)
    }

    /// Takes a VM's piece of an item out.
    pub(crate) fn take(&mut self, vm: usize, item: usize) -> Option<Piece> {
        let at = &mut self.vms[vm];
        let position = at.pieces.iter().position(|piece| piece.item == item)?;
        let piece = at.pieces.remove(position);
        at.room = plus(at.room, piece.need);
        if !self.problem.relations.is_empty() {
            self.census.remove(&self.problem.relations, item, vm, at.size);
        }
        Some(piece)
    }

    /// Adds units of an item to a VM, beside those of it that are there. Changes nothing when they do not
    /// go in.
    pub(crate) fn add_units(&mut self, vm: usize, item: usize, units: &[usize]) -> bool {
        let there = self.take(vm, item);
        let mut all: Vec<usize> = there.iter().flat_map(|piece| &piece.units).chain(units).copied().collect();
        all.sort_unstable();
        let complete = all.len() == self.problem.items[item].units.len().max(1) || all.is_empty();
        let piece = if complete {
            Piece::whole(self.problem, item)
        } else {
            Piece::fraction(self.problem, item, all)
        };
        let admitted = self.admits(vm, item, &piece.need);
        if let Some(piece) = if admitted { Some(piece) } else { there } {
            self.put(vm, piece);
        }
        admitted
    }

    /// Puts a filled VM, or none, in the place of another. For problems without relations.
    pub(crate) fn replace(&mut self, vm: usize, fresh: Option<Vm>) {
        let size = self.vms[vm].size;
        let empty = Vm { size, room: self.problem.sizes[size].room, pieces: Vec::new() };
        let fresh = fresh.unwrap_or(empty);
        self.used[size] -= 1;
        self.used[fresh.size] += 1;
        self.vms[vm] = fresh;
    }

    /// Whether no size is used more often than it can be had.
    pub(crate) fn within_availability(&self) -> bool {
        self.used.iter().zip(&self.problem.sizes).all(|(&used, size)| used <= size.available)
    }

    /// Gives up the VMs from `first` on.
    pub(crate) fn close_from(&mut self, first: usize) {
        for vm in self.vms.drain(first..) {
            self.used[vm.size] -= 1;
        }
    }

    /// Gives up the VMs that hold nothing. For problems without relations.
    pub(crate) fn drop_empty(&mut self) {
        let used = &mut self.used;
        self.vms.retain(|vm| {
            let kept = !vm.pieces.is_empty();
            used[vm.size] -= u32::from(!kept);
            kept
        });
    }

    /// Puts VMs back as they were.
    pub(crate) fn restore(&mut self, before: Vec<(usize, Vm)>) {
        for (vm, was) in before.into_iter().rev() {
            self.used[self.vms[vm].size] -= 1;
            self.used[was.size] += 1;
            self.vms[vm] = was;
        }
        self.recount();
    }

    /// Exchanges a VM for one of another size that holds what is in it.
    pub(crate) fn resize(&mut self, vm: usize, size: usize) {
        let at = &mut self.vms[vm];
        let used = minus(self.problem.sizes[at.size].room, at.room);
        self.used[at.size] -= 1;
        self.used[size] += 1;
        at.size = size;
        at.room = minus(self.problem.sizes[size].room, used);
        self.recount();
    }

    fn recount(&mut self) {
        if self.problem.relations.is_empty() {
            return;
        }
        self.census = Census::new(&self.problem.relations);
        for (index, vm) in self.vms.iter().enumerate() {
            for piece in &vm.pieces {
                self.census.add(&self.problem.relations, piece.item, index, vm.size);
            }
        }
    }

    /// Exchanges every VM for the cheapest size that holds what is in it, in the same topology domains.
    pub(crate) fn shrink(&mut self) {
        let problem = self.problem;
        let catalogue = problem.task.catalogue.sizes();
        for vm in &mut self.vms {
            let used = minus(problem.sizes[vm.size].room, vm.room);
            let suits = |size: usize| {
                fits(&used, &problem.sizes[size].room)
                    && self.used[size] < problem.sizes[size].available
                    && (problem.relations.is_empty() || catalogue[size].labels == catalogue[vm.size].labels)
                    && vm.pieces.iter().all(|piece| problem.admits(piece.item, size))
            };
            let cheapest = (0..problem.sizes.len()).filter(|&size| suits(size));
            let Some(size) = cheapest.min_by_key(|&size| problem.sizes[size].price) else { continue };
            if problem.sizes[size].price < problem.sizes[vm.size].price {
                self.used[vm.size] -= 1;
                self.used[size] += 1;
                vm.size = size;
                vm.room = minus(problem.sizes[size].room, used);
            }
        }
    }

    /// Price of the VMs that hold something.
    pub(crate) fn cost(&self) -> u64 {
        let bought = self.vms.iter().filter(|vm| !vm.pieces.is_empty());
        bought.map(|vm| self.problem.sizes[vm.size].price).sum()
    }

    /// Cost, split pods, fractions.
    pub(crate) fn score(&self) -> Score {
        let mut parts = vec![0_usize; self.problem.items.len()];
        for piece in self.vms.iter().flat_map(|vm| &vm.pieces) {
            parts[piece.item] += 1;
        }
        Score::of(Price(self.cost()), &parts)
    }

    /// Whether the VMs that share split pods fit their hosts.
    pub(crate) fn hosts_hold(&self) -> bool {
        let HostModel::Sized(host) = self.problem.task.rules.hosts else { return true };
        let leader = self.shared_hosts();
        let mut load = vec![Resources::ZERO; self.vms.len()];
        for (vm, &leader) in leader.iter().enumerate() {
            load[leader] += self.problem.sizes[self.vms[vm].size].capacity;
        }
        load.iter().all(|load| load.fits(host))
    }

    /// For each VM, the first of those that must be on its host.
    pub(crate) fn shared_hosts(&self) -> Vec<usize> {
        let mut leaders = Leaders::of(self.vms.len());
        let mut first: Vec<Option<usize>> = vec![None; self.problem.items.len()];
        for (vm, at) in self.vms.iter().enumerate() {
            for piece in at.pieces.iter().filter(|piece| !piece.units.is_empty()) {
                let other = *first[piece.item].get_or_insert(vm);
                leaders.join(vm, other);
            }
        }
        (0..self.vms.len()).map(|vm| leaders.leader(vm)).collect()
    }

    /// Whether items have the company they seek, and none that they avoid.
    pub(crate) fn relations_hold(&self) -> bool {
        self.problem.relations.is_empty() || self.census.holds(&self.problem.relations)
    }
}
