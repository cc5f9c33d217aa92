//! Which sets of VMs are worth trying, cheapest first.
//!
//! A set is left out when two or three of its VMs could be exchanged for one that has at least their room
//! together and costs no more: whatever fits the set fits that one too. With prices in proportion to size,
//! as clouds have them, few sets remain for each price, which is what makes a complete search possible.

use crate::item::{Amount, UNLIMITED, plus};
use crate::problem::Problem;
use crate::strategy::HostModel;

/// VM sizes by decreasing price, one for each VM, and the price of them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VmSet {
    /// Price of one hour.
    pub(crate) price: u64,
    /// The sizes, one entry a VM, largest first.
    pub(crate) sizes: Vec<usize>,
}

/// Sets of VMs with room for a total demand.
pub(crate) struct VmSets {
    /// By price, then by number of VMs.
    pub(crate) sets: Vec<VmSet>,
    /// All sets worth trying below this price are there.
    pub(crate) complete_below: u64,
}

/// Lists the sets (also those with more room than is needed in sum: it may be in the wrong places) whose room is at least `demand` in sum and whose price is below `limit`. Looks at up to
/// `budget` partial sets; when that is not enough, at fewer prices.
pub(crate) fn vm_sets(problem: &Problem<'_>, demand: Amount, limit: u64, budget: usize) -> VmSets {
    let floor = problem.rates.cost(&demand);
    let mut limit = limit;
    loop {
        let mut search = Enumeration::new(problem, limit, budget);
        let complete = search.descend(0, demand, 0);
        let width = limit.saturating_sub(floor);
        if complete || width == 0 {
            let mut sets = search.found;
            sets.sort_by(|a, b| (a.price, a.sizes.len(), &a.sizes).cmp(&(b.price, b.sizes.len(), &b.sizes)));
            let complete_below = if complete { limit } else { floor };
            return VmSets { sets, complete_below };
        }
        limit = floor + width / 2;
    }
}

struct Enumeration<'p> {
    problem: &'p Problem<'p>,
    /// Sizes worth buying, dearest first.
    order: Vec<usize>,
    /// Pairs and triples (as positions in `order`, ascending) that one size replaces.
    pairs: Vec<Vec<bool>>,
    triples: Vec<[usize; 3]>,
    limit: u64,
    budget: usize,
    counts: Vec<u32>,
    found: Vec<VmSet>,
}

impl<'p> Enumeration<'p> {
    fn new(problem: &'p Problem<'p>, limit: u64, budget: usize) -> Self {
        let mut order = problem.usable_sizes();
        order.sort_by_key(|&size| std::cmp::Reverse((problem.sizes[size].price, problem.sizes[size].room)));
        let merged = |members: &[usize]| replaced(problem, members);
        let n = order.len();
        let pairs: Vec<Vec<bool>> =
            (0..n).map(|a| (0..n).map(|b| merged(&[order[a], order[b]])).collect()).collect();
        let mut triples = Vec::new();
        for a in 0..n.min(24) {
            for b in a..n.min(24) {
                for c in b..n.min(24) {
                    let paired = pairs[a][b] || pairs[a][c] || pairs[b][c];
                    if !paired && merged(&[order[a], order[b], order[c]]) {
                        triples.push([a, b, c]);
                    }
                }
            }
        }
        Self { problem, order, pairs, triples, limit, budget, counts: vec![0; n], found: Vec::new() }
    }

    /// Adds VMs of the sizes from `position` on; whether the budget was enough.
    fn descend(&mut self, position: usize, demand: Amount, price: u64) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        if price + self.problem.rates.cost(&demand) >= self.limit {
            return true;
        }
        if position == self.order.len() {
            if demand == [0; 4] {
                let sizes = self.order.iter().zip(&self.counts);
                let sizes = sizes.flat_map(|(&size, &count)| std::iter::repeat_n(size, count as usize));
                self.found.push(VmSet { price, sizes: sizes.collect() });
            }
            return true;
        }
        let size = &self.problem.sizes[self.order[position]];
        let (room, each, available) = (size.room, size.price, size.available);
        let (mut left, mut total, mut complete) = (demand, price, true);
        loop {
            complete &= self.descend(position + 1, left, total);
            let count = self.counts[position];
            if total + each >= self.limit || count == available || !complete {
                break;
            }
            self.counts[position] += 1;
            if self.mergeable(position) {
                break;
            }
            total += each;
            left = std::array::from_fn(|d| left[d].saturating_sub(room[d]));
        }
        self.counts[position] = 0;
        complete
    }

    /// Whether the VM just added at `position` can be merged with others.
    fn mergeable(&self, position: usize) -> bool {
        let counts = &self.counts;
        let has = |a: usize, b: usize| counts[a] > 0 && counts[b] > 0 && (a != b || counts[a] > 1);
        (0..=position).any(|other| has(other, position) && self.pairs[other][position])
            || self.triples.iter().any(|triple| {
                let enough = |p: &usize| counts[*p] as usize >= triple.iter().filter(|q| *q == p).count();
                triple[2] == position && triple.iter().all(enough)
            })
    }
}

/// Whether one size has room for all of `members` together, for no more money, wherever they may be used.
fn replaced(problem: &Problem<'_>, members: &[usize]) -> bool {
    let all = members.iter().map(|&size| &problem.sizes[size]);
    let room = all.clone().fold([0; 4], |sum, size| plus(sum, size.room)).map(|part| part.min(UNLIMITED));
    let price: u64 = all.map(|size| size.price).sum();
    (0..problem.sizes.len()).any(|size| {
        let one = &problem.sizes[size];
        let usable = |profile: &Vec<bool>| profile[size] || members.iter().all(|&member| !profile[member]);
        one.available == u32::MAX
            && one.price <= price
            && (0..4).all(|d| room[d] <= one.room[d])
            && problem.profiles.iter().all(usable)
            && matches!(problem.task.rules.hosts, HostModel::OnePerClient)
    })
}
