//! A complete search for a way to put parts into given VMs, or the proof that there is none.

use std::collections::HashSet;

use crate::item::{Amount, Part, fits, minus, plus};

/// The outcome of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The VM of each part.
    Fits(Vec<usize>),
    /// There is no way.
    Never,
    /// The budget was too small to tell.
    Unknown,
}

/// Looks for a VM for every part, in up to `budget` steps. `rooms` are the VMs' rooms and `sizes` their
/// sizes; `profiles` says which size admits which profile.
pub(crate) fn fit(
    parts: &[Part],
    rooms: &[Amount],
    sizes: &[usize],
    profiles: &[Vec<bool>],
    budget: &mut u64,
) -> Verdict {
    let total = rooms.iter().fold([0; 4], |sum, room| plus(sum, *room));
    let weight = |need: &Amount| -> u128 {
        let share = |d: usize| (u128::from(need[d]) << 40) / u128::from(total[d].max(1));
        share(0).max(share(1)) * 4 + share(0).min(share(1))
    };
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&part| (std::cmp::Reverse(weight(&parts[part].need)), parts[part]));
    let sorted: Vec<Part> = order.iter().map(|&part| parts[part]).collect();
    let mut search = Search::new(&sorted, rooms, sizes, profiles, *budget);
    let outcome = search.descend(0);
    *budget = search.budget;
    match outcome {
        Some(true) => {
            let mut place = vec![0; parts.len()];
            order.iter().zip(&search.place).for_each(|(&part, &vm)| place[part] = vm);
            Verdict::Fits(place)
        }
        Some(false) => Verdict::Never,
        None => Verdict::Unknown,
    }
}

struct Search<'s> {
    parts: &'s [Part],
    sizes: &'s [usize],
    profiles: &'s [Vec<bool>],
    rooms: Vec<Amount>,
    place: Vec<usize>,
    /// For each position, what the parts from there on need in sum, and the least of them in each respect.
    rest: Vec<Amount>,
    least: Vec<Amount>,
    /// Positions and rooms that were searched in vain.
    failed: HashSet<(usize, Vec<(usize, Amount)>)>,
    budget: u64,
}

impl<'s> Search<'s> {
    fn new(
        parts: &'s [Part],
        rooms: &[Amount],
        sizes: &'s [usize],
        profiles: &'s [Vec<bool>],
        budget: u64,
    ) -> Self {
        let mut rest = vec![[0; 4]; parts.len() + 1];
        let mut least = vec![[u64::MAX; 4]; parts.len() + 1];
        for (index, part) in parts.iter().enumerate().rev() {
            rest[index] = std::array::from_fn(|d| rest[index + 1][d] + part.need[d]);
            least[index] = std::array::from_fn(|d| least[index + 1][d].min(part.need[d]));
        }
        let (rooms, place) = (rooms.to_vec(), vec![0; parts.len()]);
        Self { parts, sizes, profiles, rooms, place, rest, least, failed: HashSet::new(), budget }
    }

    /// Places the parts from `position` on: done, impossible, or out of budget.
    fn descend(&mut self, position: usize) -> Option<bool> {
        let Some(part) = self.parts.get(position) else { return Some(true) };
        if self.hopeless(position) {
            return Some(false);
        }
        self.budget = self.budget.checked_sub(1)?;
        let state = self.state(position);
        if self.failed.contains(&state) {
            return Some(false);
        }
        let twin = position > 0 && self.parts[position - 1] == *part;
        let first = if twin { self.place[position - 1] } else { 0 };
        let mut vms: Vec<usize> = (first..self.rooms.len())
            .filter(|&vm| fits(&part.need, &self.rooms[vm]) && self.profiles[part.profile][self.sizes[vm]])
            .collect();
        let key = |vm: usize| (self.rooms[vm], self.sizes[vm]);
        vms.sort_by_key(|&vm| (key(vm), vm));
        if !twin {
            vms.dedup_by_key(|vm| key(*vm));
        }
        for vm in vms {
            let before = self.rooms[vm];
            self.rooms[vm] = minus(before, part.need);
            self.place[position] = vm;
            let outcome = self.descend(position + 1);
            self.rooms[vm] = before;
            if outcome != Some(false) {
                return outcome;
            }
        }
        if !twin {
            self.failed.insert(state);
        }
        Some(false)
    }

    fn state(&self, position: usize) -> (usize, Vec<(usize, Amount)>) {
        let mut rooms: Vec<(usize, Amount)> =
            self.sizes.iter().copied().zip(self.rooms.iter().copied()).collect();
        rooms.sort_unstable();
        (position, rooms)
    }

    /// Whether the VMs that can take any of the remaining parts have too little room for all of them.
    fn hopeless(&self, position: usize) -> bool {
        let least = &self.least[position];
        let usable = self.rooms.iter().filter(|room| fits(least, room));
        let room = usable.fold([0; 4], |sum, room| plus(sum, *room));
        !fits(&self.rest[position], &room)
    }
}
