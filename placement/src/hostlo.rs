//! Hostlo as a post-pass over an existing placement, as the Hostlo paper simulated it: VM by VM, the one
//! with most waste first, containers are moved into room that other VMs waste, so that the VM is not
//! needed any more or a cheaper one will do. No other VM grows.

use crate::error::PlacementError;
use crate::fill::{Measure, Scale};
use crate::item::{Amount, fits, minus, plus};
use crate::kubernetes::as_it_is;
use crate::packing::{Packing, Vm};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::strategy::{Strategy, Task};
use crate::verify::verify;

/// Passes over all VMs; each but the last saved something.
const MOST_PASSES: usize = 8;

/// Kubernetes as it is, then the post-pass. With whole pods only, nothing is moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hostlo;

impl Strategy for Hostlo {
    fn name(&self) -> &'static str {
        "hostlo"
    }

    fn place(&self, task: Task<'_>) -> Result<Plan, PlacementError> {
        let problem = Problem::new(task)?;
        let mut packing = as_it_is(&problem)?;
        if problem.max_fractions() > 1 {
            post_pass(&mut packing);
        }
        Ok(packing.finish())
    }
}

/// The post-pass over a placement that exists, such as a cluster's of today.
///
/// # Errors
/// [`PlacementError`] where the task has no plan because of one pod alone, and
/// [`PlacementError::NoPlan`] for a placement that breaks a rule of the task.
pub fn over(task: Task<'_>, placement: &Plan) -> Result<Plan, PlacementError> {
    let refused = |source| PlacementError::NoPlan { client: task.client.name.clone(), source };
    verify(task, placement).map_err(refused)?;
    let problem = Problem::new(task)?;
    let mut packing = Packing::of(&problem, placement).map_err(refused)?;
    if problem.max_fractions() > 1 {
        post_pass(&mut packing);
    }
    Ok(packing.finish())
}

/// Up to so many VMs, all of them are candidates to take something in; beyond, those with most room,
/// chosen anew after as many VMs were relieved.
const MOST_CANDIDATES: usize = 1024;

/// Beyond so many items or VMs there is one pass, and few candidates: a pass looks at every candidate for every item.
const MOST_ITEMS: usize = 20_000;

/// Moves containers, and whole pods, out of VMs until none can be made cheaper.
pub(crate) fn post_pass(packing: &mut Packing<'_>) {
    let scale = Scale::of(packing.problem);
    for _ in 0..MOST_PASSES {
        let mut order: Vec<usize> =
            (0..packing.vms.len()).filter(|&vm| !packing.vms[vm].pieces.is_empty()).collect();
        let waste = |vm: usize| scale.measure(&packing.vms[vm].room, Measure::Sum);
        order.sort_by_key(|&vm| (std::cmp::Reverse(waste(vm)), vm));
        let mut saved = 0;
        for chunk in order.chunks(MOST_CANDIDATES) {
            let candidates = candidates(packing, scale);
            saved += chunk.iter().filter(|&&vm| relieve(packing, scale, vm, &candidates)).count();
        }
        if saved == 0 || is_large(packing) {
            return;
        }
    }
}

fn is_large(packing: &Packing<'_>) -> bool {
    packing.vms.len() > MOST_CANDIDATES || packing.problem.items.len() > MOST_ITEMS
}

/// The VMs that may take something in, ascending.
fn candidates(packing: &Packing<'_>, scale: Scale) -> Vec<usize> {
    let mut vms: Vec<usize> =
        (0..packing.vms.len()).filter(|&vm| !packing.vms[vm].pieces.is_empty()).collect();
    if is_large(packing) {
        let room = |vm: usize| scale.measure(&packing.vms[vm].room, Measure::Sum);
        vms.sort_by_key(|&vm| (std::cmp::Reverse(room(vm)), vm));
        vms.truncate(MOST_CANDIDATES / 8);
        vms.sort_unstable();
    }
    vms
}

/// Makes one VM superfluous, or else as much cheaper as can be.
fn relieve(packing: &mut Packing<'_>, scale: Scale, vm: usize, candidates: &[usize]) -> bool {
    let problem = packing.problem;
    let price = problem.sizes[packing.vms[vm].size].price;
    let mut targets: Vec<Option<usize>> = vec![None];
    let mut cheaper: Vec<usize> = (0..problem.sizes.len())
        .filter(|&size| problem.sizes[size].price < price && packing.has(size))
        .filter(|&size| packing.vms[vm].pieces.iter().all(|piece| problem.admits(piece.item, size)))
        .collect();
    cheaper.sort_by_key(|&size| (problem.sizes[size].price, size));
    targets.extend(cheaper.into_iter().map(Some));
    targets.into_iter().any(|target| {
        let mut moves = Moves { packing: &mut *packing, scale, candidates, before: Vec::new() };
        let done = moves.leave(vm, target);
        let before = moves.before;
        let kept = done && packing.hosts_hold() && packing.relations_hold();
        if !kept {
            packing.restore(before);
        }
        kept
    })
}

struct Moves<'m, 'p> {
    packing: &'m mut Packing<'p>,
    scale: Scale,
    candidates: &'m [usize],
    before: Vec<(usize, Vm)>,
}

impl Moves<'_, '_> {
    /// Leaves in `vm` only what fits the target size, or nothing.
    fn leave(&mut self, vm: usize, target: Option<usize>) -> bool {
        let problem = self.packing.problem;
        self.remember(vm);
        let room = target.map_or([0; 4], |size| problem.sizes[size].room);
        let used = |packing: &Packing<'_>| {
            let at = &packing.vms[vm];
            minus(problem.sizes[at.size].room, at.room)
        };
        let mut pieces = self.packing.vms[vm].pieces.clone();
        // Whole pods that fit elsewhere first, largest first: a moved pod is not split.
        let key = |need: &Amount| self.scale.measure(need, Measure::Dominant);
        pieces.sort_by_key(|piece| std::cmp::Reverse((key(&piece.need), piece.item)));
        for piece in &pieces {
            if target.is_some() && fits(&used(self.packing), &room) {
                break;
            }
            if piece.units.is_empty() && self.move_whole(vm, piece.item) {
                continue;
            }
            match self.move_units(vm, piece.item, &room) {
                Some(gone) if gone || target.is_some() => {}
                _ => return false,
            }
        }
        let left = used(self.packing);
        match target {
            None => self.packing.vms[vm].pieces.is_empty(),
            Some(size) => {
                let held = fits(&left, &room);
                if held {
                    self.packing.resize(vm, size);
                }
                held
            }
        }
    }

    fn remember(&mut self, vm: usize) {
        if !self.before.iter().any(|(known, _)| *known == vm) {
            self.before.push((vm, self.packing.vms[vm].clone()));
        }
    }

    /// The other VM with least room that admits `need`.
    fn tightest(&self, from: usize, item: usize, need: &Amount) -> Option<usize> {
        let packing = &*self.packing;
        let others = self.candidates.iter().copied();
        let vms = others.filter(|&vm| vm != from && !packing.vms[vm].pieces.is_empty());
        let admitting = vms.filter(|&vm| packing.admits(vm, item, need));
        admitting.min_by_key(|&vm| (self.scale.measure(&packing.vms[vm].room, Measure::Dominant), vm))
    }

    fn move_whole(&mut self, from: usize, item: usize) -> bool {
        let need = self.packing.problem.items[item].whole;
        let Some(to) = self.tightest(from, item, &need) else { return false };
        self.remember(to);
        let Some(piece) = self.packing.take(from, item) else { return false };
        self.packing.put(to, piece);
        true
    }

    /// Moves units of an item, largest first, until what is left in the VM fits `room`: whether all of the
    /// item went. `None` when what stays of it does not go back, or it is in too many fractions.
    fn move_units(&mut self, from: usize, item: usize, room: &Amount) -> Option<bool> {
        let problem = self.packing.problem;
        let of = &problem.items[item];
        if of.units.is_empty() {
            return Some(false);
        }
        let piece = self.packing.take(from, item)?;
        let mut holders: Vec<usize> = Vec::new();
        if !piece.units.is_empty() {
            let holds = |vm: &usize| self.packing.vms[*vm].pieces.iter().any(|other| other.item == item);
            holders.extend(self.candidates.iter().copied().filter(holds));
        }
        let mut here = if piece.units.is_empty() { (0..of.units.len()).collect() } else { piece.units };
        let key = |unit: usize| self.scale.measure(&of.units[unit].need, Measure::Dominant);
        here.sort_by_key(|&unit| (std::cmp::Reverse(key(unit)), unit));
        let at = &self.packing.vms[from];
        let others = minus(problem.sizes[at.size].room, at.room);
        let mut left =
            here.iter().fold(plus(others, of.fraction), |sum, &unit| plus(sum, of.units[unit].need));
        let mut staying = Vec::new();
        for &unit in &here {
            let need = of.units[unit].need;
            let to = if fits(&left, room) { None } else { self.roomy(from, item, &need, &holders) };
            let moved = to.is_some_and(|to| {
                self.remember(to);
                let added = self.packing.add_units(to, item, &[unit]);
                if added && !holders.contains(&to) {
                    holders.push(to);
                }
                added
            });
            if moved { left = minus(left, need) } else { staying.push(unit) }
        }
        let holds = |vm: &&Vm| vm.pieces.iter().any(|piece| piece.item == item);
        let back = staying.is_empty() || self.packing.add_units(from, item, &staying);
        let limited = problem.max_fractions() < of.units.len();
        let few = !limited || self.packing.vms.iter().filter(holds).count() <= problem.max_fractions();
        (back && few).then_some(staying.is_empty())
    }

    /// A VM for one more unit: one of those that hold some of the item, else the one with most room, so that few
    /// fractions arise.
    fn roomy(&self, from: usize, item: usize, unit: &Amount, holders: &[usize]) -> Option<usize> {
        let packing = &*self.packing;
        let fraction = &plus(packing.problem.items[item].fraction, *unit);
        let others = self.candidates.iter().copied();
        let vms = others.filter(|&vm| vm != from && !packing.vms[vm].pieces.is_empty());
        let holds = |vm: usize| holders.contains(&vm);
        let admitting = vms.filter(|&vm| {
            if holds(vm) { fits(unit, &packing.vms[vm].room) } else { packing.admits(vm, item, fraction) }
        });
        admitting.max_by_key(|&vm| {
            (holds(vm), self.scale.measure(&packing.vms[vm].room, Measure::Dominant), std::cmp::Reverse(vm))
        })
    }
}
