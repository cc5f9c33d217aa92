//! The most that one VM can be worth: a knapsack of several resources, searched depth first.

use crate::item::{Amount, UNLIMITED, fits};

/// A kind of part, of which there are `count`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The caller's number for it.
    pub(crate) index: usize,
    /// What each takes.
    pub(crate) need: Amount,
    /// How many there are.
    pub(crate) count: u64,
    /// What each is worth.
    pub(crate) worth: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filling {
    /// The worth of the best filling found.
    pub(crate) worth: u64,
    /// No filling is worth more than this.
    pub(crate) at_most: u64,
    /// The filling: numbers of kinds, and how many of each.
    pub(crate) counts: Vec<(usize, u64)>,
}

/// Relaxations to one resource each: CPU, memory, and mixtures of both.
const MIXTURES: [[u64; 2]; 5] = [[1, 0], [0, 1], [1, 1], [3, 1], [1, 3]];

/// A knapsack to be filled.
pub(crate) struct Knapsack {
    kinds: Vec<Kind>,
    room: Amount,
    /// For each kind, its weight under each mixture, in parts of 2^32 of the room.
    weights: Vec<[u64; 5]>,
    /// For each mixture, the kinds by decreasing worth for their weight.
    ranked: [Vec<usize>; 5],
    best: u64,
    best_counts: Vec<u64>,
    counts: Vec<u64>,
    last: usize,
}

impl Knapsack {
    /// A VM with `room`, and what could be in it.
    pub(crate) fn new(kinds: Vec<Kind>, room: Amount) -> Self {
        let mut kinds: Vec<Kind> = kinds.into_iter().filter(|kind| fits(&kind.need, &room)).collect();
        let share = |amount: u64, d: usize| (u128::from(amount) << 32) / u128::from(room[d].max(1));
        let weigh = |kind: &Kind| {
            MIXTURES.map(|[cpu, memory]| {
                let sum =
                    share(kind.need[0], 0) * u128::from(cpu) + share(kind.need[1], 1) * u128::from(memory);
                (sum / u128::from(cpu + memory)) as u64
            })
        };
        let denser = |a: &Kind, b: &Kind, mixture: usize| {
            let (wa, wb) = (u128::from(weigh(a)[mixture]), u128::from(weigh(b)[mixture]));
            (u128::from(b.worth) * wa).cmp(&(u128::from(a.worth) * wb)).then(a.index.cmp(&b.index))
        };
        kinds.sort_by(|a, b| denser(a, b, 2));
        let ranked = std::array::from_fn(|mixture| {
            let mut order: Vec<usize> = (0..kinds.len()).collect();
            order.sort_by(|&a, &b| denser(&kinds[a], &kinds[b], mixture));
            order
        });
        let weights = kinds.iter().map(weigh).collect();
        let counts = vec![0; kinds.len()];
        Self { kinds, room, weights, ranked, best: 0, best_counts: counts.clone(), counts, last: 2 }
    }

    /// Fills it, in up to `budget` steps.
    pub(crate) fn solve(mut self, budget: &mut u64) -> Filling {
        let root = self.upper(0, &self.room.clone());
        let complete = self.descend(0, self.room, 0, budget);
        let counts = self.kinds.iter().zip(&self.best_counts).filter(|(_, count)| **count > 0);
        let counts = counts.map(|(kind, &count)| (kind.index, count)).collect();
        Filling { worth: self.best, at_most: if complete { self.best } else { root.max(self.best) }, counts }
    }

    fn descend(&mut self, position: usize, room: Amount, worth: u64, budget: &mut u64) -> bool {
        if worth > self.best {
            self.best = worth;
            self.best_counts.clone_from(&self.counts);
        }
        if position == self.kinds.len() || self.cannot_win(position, &room, worth) {
            return true;
        }
        let Some(left) = budget.checked_sub(1 + (self.kinds.len() - position) as u64 / 8) else {
            return false;
        };
        *budget = left;
        let kind = self.kinds[position];
        let times = |d: usize| room[d].checked_div(kind.need[d]).unwrap_or(u64::MAX);
        let most = (0..4).map(times).min().unwrap_or(0).min(kind.count);
        let mut complete = true;
        for count in (0..=most).rev() {
            let room = std::array::from_fn(|d| room[d] - kind.need[d] * count);
            self.counts[position] = count;
            complete &= self.descend(position + 1, room, worth + kind.worth * count, budget);
            if !complete {
                break;
            }
        }
        self.counts[position] = 0;
        complete
    }

    /// Whether some relaxation shows that the best is out of reach; the one that showed it last is tried
    /// first.
    fn cannot_win(&mut self, position: usize, room: &Amount, worth: u64) -> bool {
        let last = self.last;
        let mixtures = std::iter::once(last).chain((0..MIXTURES.len()).filter(|&other| other != last));
        for mixture in mixtures {
            if worth + self.relaxed(mixture, position, room) <= self.best {
                self.last = mixture;
                return true;
            }
        }
        false
    }

    /// No more than this can be added from the kinds at `position` and after.
    fn upper(&self, position: usize, room: &Amount) -> u64 {
        (0..MIXTURES.len()).map(|mixture| self.relaxed(mixture, position, room)).min().unwrap_or(0)
    }

    /// The fractional knapsack under one mixture of resources.
    fn relaxed(&self, mixture: usize, position: usize, room: &Amount) -> u64 {
        let [cpu, memory] = MIXTURES[mixture];
        if (cpu > 0 && self.room[0] >= UNLIMITED) || (memory > 0 && self.room[1] >= UNLIMITED) {
            return u64::MAX / 4;
        }
        // Rounded up, while the weights of parts are rounded down: the relaxation only grows.
        let share = |d: usize| (u128::from(room[d]) << 32).div_ceil(u128::from(self.room[d].max(1)));
        let mut left = (share(0) * u128::from(cpu) + share(1) * u128::from(memory))
            .div_ceil(u128::from(cpu + memory)) as u64;
        let mut worth = 0;
        for &index in self.ranked[mixture].iter().filter(|&&index| index >= position) {
            let (kind, weight) = (&self.kinds[index], self.weights[index][mixture]);
            let fits = left.checked_div(weight).unwrap_or(u64::MAX).min(kind.count);
            worth += fits * kind.worth;
            left -= fits * weight;
            if fits < kind.count {
                let part = u128::from(kind.worth) * u128::from(left) / u128::from(weight.max(1));
                return worth + part as u64 + 1;
            }
        }
        worth
    }
}
