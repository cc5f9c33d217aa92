//! Puts items into VMs that are open already, and splits those that do not fit.

use crate::item::{Amount, Part, UNLIMITED, fits, minus};
use crate::packing::{Packing, Piece};
use crate::problem::Problem;

/// The measure that items are sorted by, greatest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// The larger of the shares of CPU and memory.
    Dominant,
    /// The sum of both shares.
    Sum,
    /// CPU alone.
    Cpu,
    /// Memory alone.
    Memory,
    /// The dominant share of the largest unit: what can be ground fine comes last.
    Coarseness,
}

impl Measure {
    /// All measures, in the order in which they are tried.
    pub(crate) const ALL: [Self; 5] = [Self::Dominant, Self::Sum, Self::Cpu, Self::Memory, Self::Coarseness];
}

/// How a VM is chosen among those that admit an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The one that is left with least.
    Tightest,
    /// The one whose room is most alike in proportions (the dot product of need and room is largest).
    Aligned,
}

/// Shares of the whole demand, in parts of 2^20, so that CPU and memory can be compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale([u64; 2]);

impl Scale {
    /// Shares of what the items take together.
    pub(crate) fn of(problem: &Problem<'_>) -> Self {
        let total = problem.demand();
        Self([total[0].max(1), total[1].max(1)])
    }

    /// CPU and memory as shares.
    pub(crate) fn shares(self, amount: &Amount) -> [u64; 2] {
        [0, 1].map(|d| ((u128::from(amount[d].min(UNLIMITED)) << 30) / u128::from(self.0[d])) as u64)
    }

    /// An amount by `measure`, as if it were not divisible.
    pub(crate) fn measure(self, amount: &Amount, measure: Measure) -> u64 {
        let [cpu, memory] = self.shares(amount);
        match measure {
            Measure::Dominant | Measure::Coarseness => cpu.max(memory),
            Measure::Sum => cpu + memory,
            Measure::Cpu => cpu,
            Measure::Memory => memory,
        }
    }

    /// The items of a problem by decreasing measure; equals in order of arrival, and those that seek others last.
    pub(crate) fn order(self, problem: &Problem<'_>, measure: Measure) -> Vec<usize> {
        let key = |item: usize| {
            let of = &problem.items[item];
            match measure {
                Measure::Coarseness if !of.units.is_empty() => {
                    of.units.iter().map(|unit| self.measure(&unit.need, measure)).max().unwrap_or(0)
                }
                measure => self.measure(&of.whole, measure),
            }
        };
        let mut order: Vec<(bool, std::cmp::Reverse<u64>, usize)> = (0..problem.items.len())
            .map(|item| (problem.relations.seeks(item), std::cmp::Reverse(key(item)), item))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, _, item)| item).collect()
    }

    fn rank(self, choice: Choice, need: &Amount, room: &Amount) -> u64 {
        let ([a, b], [c, d]) = (self.shares(need), self.shares(room));
        match choice {
            Choice::Tightest => u64::MAX - (c - a).max(d - b).saturating_add(((c - a) + (d - b)) / 4),
            Choice::Aligned => {
                let (a, b, c, d) = (u128::from(a), u128::from(b), u128::from(c), u128::from(d));
                let alike = (a * c + b * d) << 30;
                (alike / (c * c + d * d).max(1)) as u64
            }
        }
    }
}

/// Puts the items of `order` whole into the open VMs, as far as they fit; returns those that do not.
pub(crate) fn fill(packing: &mut Packing<'_>, scale: Scale, order: &[usize], choice: Choice) -> Vec<usize> {
    let problem = packing.problem;
    let mut left = Vec::new();
    for &item in order {
        let need = problem.items[item].whole;
        let admitting = (0..packing.vms.len()).filter(|&vm| packing.admits(vm, item, &need));
        let ranked = admitting.map(|vm| (scale.rank(choice, &need, &packing.vms[vm].room), vm));
        match ranked.max_by_key(|&(rank, vm)| (rank, std::cmp::Reverse(vm))) {
            Some((_, vm)) => packing.put(vm, Piece::whole(problem, item)),
            None => left.push(item),
        }
    }
    left
}

/// Splits each item of `left` over the room there is, in as few fractions as a greedy choice finds.
/// Whether all went in; if not, the packing is of no use.
pub(crate) fn split(packing: &mut Packing<'_>, scale: Scale, left: &[usize]) -> bool {
    left.iter().all(|&item| split_one(packing, scale, item)) && packing.hosts_hold()
}

fn split_one(packing: &mut Packing<'_>, scale: Scale, item: usize) -> bool {
    let problem = packing.problem;
    let of = &problem.items[item];
    if of.units.is_empty() {
        return false;
    }
    let mut units: Vec<usize> = (0..of.units.len()).collect();
    units.sort_by_key(|&unit| {
        std::cmp::Reverse((scale.measure(&of.units[unit].need, Measure::Dominant), unit))
    });
    let mut taken = vec![false; packing.vms.len()];
    let mut fractions = 0;
    while !units.is_empty() {
        if fractions == problem.max_fractions() {
            return false;
        }
        let open = (0..packing.vms.len()).filter(|&vm| !taken[vm]);
        let best = open
            .filter_map(|vm| {
                greedy_part(packing, scale, item, &units, vm).map(|(weight, part)| (weight, vm, part))
            })
            .max_by_key(|(weight, vm, _)| (*weight, std::cmp::Reverse(*vm)));
        let Some((_, vm, part)) = best else { return false };
        units.retain(|unit| !part.contains(unit));
        taken[vm] = true;
        fractions += 1;
        packing.put(vm, Piece::fraction(problem, item, part));
    }
    true
}

/// Which of `units` (largest first) go into a VM, taken greedily, and how much they are.
fn greedy_part(
    packing: &Packing<'_>,
    scale: Scale,
    item: usize,
    units: &[usize],
    vm: usize,
) -> Option<(u64, Vec<usize>)> {
    let of = &packing.problem.items[item];
    if !packing.admits(vm, item, &of.fraction) {
        return None;
    }
    let mut room = minus(packing.vms[vm].room, of.fraction);
    let (mut part, mut weight) = (Vec::new(), 0);
    for &unit in units {
        let need = of.units[unit].need;
        if fits(&need, &room) {
            room = minus(room, need);
            weight += scale.measure(&need, Measure::Sum).max(1);
            part.push(unit);
        }
    }
    (!part.is_empty()).then(|| {
        part.sort_unstable();
        (weight, part)
    })
}

/// Puts parts, largest first, into new VMs of `sizes`; the VM of each part, if all go in.
pub(crate) fn fill_parts(
    parts: &[Part],
    problem: &Problem<'_>,
    sizes: &[usize],
    scale: Scale,
    choice: Choice,
) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&part| {
        (std::cmp::Reverse(scale.measure(&parts[part].need, Measure::Dominant)), parts[part], part)
    });
    let mut rooms: Vec<Amount> = sizes.iter().map(|&size| problem.sizes[size].room).collect();
    let mut places = vec![0; parts.len()];
    for part in order {
        let Part { need, profile } = parts[part];
        let admitting =
            (0..rooms.len()).filter(|&vm| fits(&need, &rooms[vm]) && problem.profiles[profile][sizes[vm]]);
        let ranked = admitting.map(|vm| (scale.rank(choice, &need, &rooms[vm]), std::cmp::Reverse(vm)));
        let (_, std::cmp::Reverse(vm)) = ranked.max()?;
        rooms[vm] = minus(rooms[vm], need);
        places[part] = vm;
    }
    Some(places)
}
