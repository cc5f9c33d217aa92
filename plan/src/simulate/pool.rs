//! One client's VMs at a moment.

use super::bill::{Bill, HOUR_US};
use nestless_placement::{Catalogue, Pod, Price, Resources};
use std::cmp::Reverse;

/// Where a pod, or a fraction of one, runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    vm: usize,
    request: Resources,
}

#[derive(Clone, Copy, Debug)]
struct Vm {
    size: usize,
    room: Resources,
    pods: u32,
    bought_us: u64,
    empty_since_us: Option<u64>,
    released: bool,
}

/// VMs that were bought; those given back stay in the list, so that slots keep their meaning, but are skipped by way of
/// `live`.
pub(super) struct Pool<'a> {
    catalogue: &'a Catalogue,
    unit_us: u64,
    vms: Vec<Vm>,
    live: Vec<usize>,
    bill: Bill,
}

impl<'a> Pool<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, unit_us: u64) -> Self {
        Self { catalogue, unit_us, vms: Vec::new(), live: Vec::new(), bill: Bill::default() }
    }

    pub(super) fn bill(&self) -> Bill {
        self.bill
    }

    /// Gives back VMs whose paid time ended while they were empty.
    pub(super) fn release(&mut self, now: u64) {
        let Self { catalogue, unit_us, vms, live, bill } = self;
        live.retain(|&index| {
            let vm = &mut vms[index];
            let Some(empty) = vm.empty_since_us else { return true };
            let units = (empty - vm.bought_us).div_ceil(*unit_us).max(1);
            let paid_until = vm.bought_us.saturating_add(units.saturating_mul(*unit_us));
            if paid_until > now {
                return true;
            }
            vm.released = true;
            bill.usd += pay(catalogue, vm.size, units, *unit_us);
            false
        });
    }

    /// Slots of the pod; none when no VM holds it.
    pub(super) fn place(&mut self, now: u64, pod: &Pod, max_fractions: u32) -> Vec<Slot> {
        let request = pod.request();
        if let Some(vm) = self.fullest(request, &[]) {
            return vec![self.put(vm, request)];
        }
        let whole = self.cheapest(request);
        if max_fractions > 1 {
            let limit = whole.map(|size| self.catalogue.sizes()[size].price);
            if let Some((slots, rest)) = self.spread(pod, max_fractions, limit) {
                let mut placed: Vec<Slot> = slots.into_iter().map(|(vm, part)| self.put(vm, part)).collect();
                if let Some((size, part)) = rest {
                    let vm = self.buy(now, size);
                    placed.push(self.put(vm, part));
                }
                return placed;
            }
        }
        let Some(size) = whole else { return Vec::new() };
        let vm = self.buy(now, size);
        vec![self.put(vm, request)]
    }

    pub(super) fn remove(&mut self, now: u64, slots: &[Slot]) {
        for slot in slots {
            let vm = &mut self.vms[slot.vm];
            vm.room += slot.request;
            vm.pods -= 1;
            if vm.pods == 0 {
                vm.empty_since_us = Some(now);
            }
        }
    }

    /// The end of the replay: every VM is paid to now, in begun units.
    pub(super) fn close(&mut self, now: u64) {
        self.release(now);
        for &index in &self.live {
            let vm = &self.vms[index];
            let until = vm.empty_since_us.unwrap_or(now);
            let units = (until - vm.bought_us).div_ceil(self.unit_us).max(1);
            self.bill.usd += pay(self.catalogue, vm.size, units, self.unit_us);
        }
        self.live.clear();
    }

    /// Among VMs with room, the one that has least of it left afterwards; the first of equals.
    fn fullest(&self, request: Resources, but: &[usize]) -> Option<usize> {
        let holds = |vm: &&usize| request.fits(self.vms[**vm].room) && self.admits(**vm) && !but.contains(vm);
        self.live.iter().filter(holds).min_by_key(|&&vm| self.left(vm, request)).copied()
    }

    fn admits(&self, vm: usize) -> bool {
        let Vm { size, pods, .. } = self.vms[vm];
        self.catalogue.sizes()[size].max_pods.is_none_or(|most| pods < most)
    }

    /// Free CPU and memory after placing, in millionths of the VM.
    fn left(&self, vm: usize, request: Resources) -> u64 {
        let Vm { size, room, .. } = self.vms[vm];
        let (all, free) = (self.catalogue.sizes()[size].allocatable(), room.saturating_sub(request));
        let part = |free: u64, all: u64| (u128::from(free) * 1_000_000 / u128::from(all.max(1))) as u64;
        part(free.cpu_milli, all.cpu_milli) + part(free.memory_bytes, all.memory_bytes)
    }

    fn cheapest(&self, request: Resources) -> Option<usize> {
        let sizes = self.catalogue.sizes();
        let holds = |index: &usize| request.fits(sizes[*index].allocatable());
        (0..sizes.len()).filter(holds).min_by_key(|&index| (sizes[index].price, index))
    }

    fn buy(&mut self, now: u64, size: usize) -> usize {
        let room = self.catalogue.sizes()[size].allocatable();
        self.vms.push(Vm { size, room, pods: 0, bought_us: now, empty_since_us: None, released: false });
        self.live.push(self.vms.len() - 1);
        self.bill.bought += 1;
        self.bill.at_once = self.bill.at_once.max(self.live.len() as u64);
        self.vms.len() - 1
    }

    fn put(&mut self, vm: usize, request: Resources) -> Slot {
        let place = &mut self.vms[vm];
        debug_assert!(request.fits(place.room) && !place.released, "a slot is offered only where it fits");
        place.room = place.room.saturating_sub(request);
        place.pods += 1;
        place.empty_since_us = None;
        Slot { vm, request }
    }
}

/// Parts in VMs that are there, and the size to buy for the rest.
type Spread = (Vec<(usize, Resources)>, Option<(usize, Resources)>);

impl Pool<'_> {
    /// The pod in the room that VMs have left, the largest units first, each into the fullest VM that holds it; what is left
    /// over needs a new VM. `None` when that VM is not cheaper than `limit`, the price of one for the whole pod.
    fn spread(&self, pod: &Pod, max_fractions: u32, limit: Option<Price>) -> Option<Spread> {
        let mut units = pod.units();
        if units.len() < 2 {
            return None;
        }
        let size_of = |unit: &Vec<usize>| pod.overhead + pod.request_of(unit.iter().copied());
        units.sort_by_key(|unit| {
            let Resources { cpu_milli, memory_bytes } = size_of(unit);
            Reverse((cpu_milli as u128 * (4 << 30) / 1000).max(memory_bytes.into()))
        });
        let mut parts: Vec<(usize, Vec<usize>, Resources)> = Vec::new();
        let mut rest: Vec<usize> = Vec::new();
        for unit in units {
            let joined = parts.iter_mut().find_map(|(vm, members, part)| {
                let all = merged(members, &unit);
                let request = pod.overhead + pod.request_of(all.iter().copied());
                request.fits(self.vms[*vm].room).then(|| (*members, *part) = (all, request))
            });
            if joined.is_some() {
                continue;
            }
            let taken: Vec<usize> = parts.iter().map(|(vm, ..)| *vm).collect();
            let more = parts.len() as u32 + 1 < max_fractions
                || (rest.is_empty() && parts.len() as u32 + 1 == max_fractions);
            match self.fullest(size_of(&unit), &taken).filter(|_| more) {
                Some(vm) => parts.push((vm, unit.clone(), size_of(&unit))),
                None => rest = merged(&rest, &unit),
            }
        }
        let slots: Vec<_> = parts.into_iter().map(|(vm, _, part)| (vm, part)).collect();
        if rest.is_empty() {
            return Some((slots, None));
        }
        let request = pod.overhead + pod.request_of(rest.iter().copied());
        let size = self.cheapest(request)?;
        let pays = limit.is_none_or(|limit| self.catalogue.sizes()[size].price < limit);
        let fractions = slots.len() as u64 + 1;
        (pays && fractions <= u64::from(max_fractions)).then_some((slots, Some((size, request))))
    }
}

fn merged(one: &[usize], other: &[usize]) -> Vec<usize> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all
}

fn pay(catalogue: &Catalogue, size: usize, units: u64, unit_us: u64) -> f64 {
    catalogue.sizes()[size].price.dollars() * units as f64 * (unit_us as f64 / HOUR_US as f64)
}
