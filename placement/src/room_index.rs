//! Finds a VM with room without looking at all of them: for each size a tree over its VMs, whose nodes
//! know which room there is below and the highest score. A search leaves out every subtree that cannot
//! hold the item or cannot beat what was found, so it touches about log n nodes for each VM it tries.
//!
//! Most VMs of a large fleet are full in one respect and have room in another. A node therefore keeps not
//! the most CPU and the most memory below it, but a few pairs of both.

use crate::item::{Amount, fits};
use crate::packing::Packing;
use crate::problem::Problem;

/// How many pairs of CPU and memory a node keeps.
const CORNERS: usize = 6;

/// The VMs of a packing by size, searchable by room.
pub(crate) struct RoomIndex {
    trees: Vec<Tree>,
    /// The place of each VM in the tree of its size.
    places: Vec<usize>,
}

/// What is known of the VMs below a node.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// CPU and memory: what any VM below has room for, one of these has. By decreasing CPU; those not used are zero.
    corners: [[u64; 2]; CORNERS],
    /// The most room for pods and for NICs.
    places: [u64; 2],
    /// The highest score.
    points: u64,
}

impl Node {
    fn of(room: &Amount, points: u64) -> Self {
        let mut corners = [[0; 2]; CORNERS];
        corners[0] = [room[0], room[1]];
        Self { corners, places: [room[2], room[3]], points }
    }

    /// Whether a VM below may hold `need`; if not, none does.
    fn may_hold(&self, need: &Amount) -> bool {
        need[2] <= self.places[0]
            && need[3] <= self.places[1]
            && self.corners.iter().any(|corner| need[0] <= corner[0] && need[1] <= corner[1])
    }

    fn join(&self, other: &Self) -> Self {
        Self {
            corners: joined(&self.corners, &other.corners),
            places: [0, 1].map(|d| self.places[d].max(other.places[d])),
            points: self.points.max(other.points),
        }
    }
}

/// The pairs of both that no other has more of in both respects; where they are too many, neighbours that lose least
/// by it are taken together.
fn joined(a: &[[u64; 2]; CORNERS], b: &[[u64; 2]; CORNERS]) -> [[u64; 2]; CORNERS] {
    let mut all = [[0; 2]; 2 * CORNERS];
    all[..CORNERS].copy_from_slice(a);
    all[CORNERS..].copy_from_slice(b);
    all.sort_unstable_by(|one, other| other.cmp(one));
    let mut count = 0;
    for index in 0..all.len() {
        let [cpu, memory] = all[index];
        if (count == 0 || memory > all[count - 1][1]) && (cpu, memory) != (0, 0) {
            all[count] = [cpu, memory];
            count += 1;
        }
    }
    while count > CORNERS {
        let loss = |&at: &usize| {
            let ([cpu, less], [less_cpu, memory]) = (all[at], all[at + 1]);
            u128::from(cpu - less_cpu) * u128::from(memory - less)
        };
        let at = (0..count - 1).min_by_key(loss).unwrap_or(0);
        all[at][1] = all[at + 1][1];
        all.copy_within(at + 2..count, at + 1);
        count -= 1;
    }
    std::array::from_fn(|index| if index < count { all[index] } else { [0; 2] })
}

#[derive(Clone, Debug, Default)]
struct Tree {
    /// A full binary tree: node `i` has children `2i` and `2i + 1`; leaves are the second half.
    nodes: Vec<Node>,
    /// The VM of each leaf that is taken.
    vms: Vec<usize>,
}

impl RoomIndex {
    /// An index of no VMs.
    pub(crate) fn new(problem: &Problem<'_>) -> Self {
        Self { trees: vec![Tree::default(); problem.sizes.len()], places: Vec::new() }
    }

    /// Takes note of a VM that was opened or filled. VMs are opened in order and keep their size.
    pub(crate) fn update(&mut self, packing: &Packing<'_>, vm: usize) {
        let at = &packing.vms[vm];
        let tree = &mut self.trees[at.size];
        if vm == self.places.len() {
            self.places.push(tree.vms.len());
            tree.vms.push(vm);
        }
        let room = &packing.problem.sizes[at.size].room;
        let used = [room[0] - at.room[0], room[1] - at.room[1]];
        tree.set(self.places[vm], Node::of(&at.room, fine_points(room, used)));
    }

    /// The VM with the highest score once `need` is in it, of those that admit it; the oldest of equals.
    pub(crate) fn fullest(&self, packing: &Packing<'_>, item: usize, need: &Amount) -> Option<usize> {
        let mut best: Option<(u64, usize)> = None;
        for (size, tree) in self.trees.iter().enumerate() {
            let room = &packing.problem.sizes[size].room;
            if tree.vms.is_empty() || !packing.problem.admits(item, size) || !fits(need, room) {
                continue;
            }
            let gain = fine_points(room, [need[0], need[1]]);
            let search = Search { tree, packing, item, need, gain };
            search.descend(1, &mut best);
        }
        best.map(|(_, vm)| vm)
    }

    /// The oldest VM that admits `need`, if one is found while looking at up to `nodes` nodes of each size.
    pub(crate) fn first(
        &self,
        packing: &Packing<'_>,
        item: usize,
        need: &Amount,
        nodes: usize,
    ) -> Option<usize> {
        let trees = self.trees.iter().enumerate();
        let mut searched =
            trees.filter(|(size, tree)| !tree.vms.is_empty() && packing.problem.admits(item, *size));
        searched.find_map(|(_, tree)| tree.first(packing, item, need, &mut nodes.clone(), 1))
    }
}

/// The scheduler's points for CPU and memory, of 100 each, of a VM of size `room` with `left` of it left,
/// after `need` is put in.
fn points(room: &Amount, left: &Amount, need: &Amount) -> [u64; 2] {
    [0, 1].map(|d| (room[d] - left[d] + need[d]) * 100 / room[d])
}

/// The points of CPU and memory together, in parts of 2^16 and rounded up, so that they add up to no less
/// than the scheduler's.
fn fine_points(room: &Amount, used: [u64; 2]) -> u64 {
    [0, 1].map(|d| ((u128::from(used[d]) * 100) << 16).div_ceil(u128::from(room[d])) as u64).iter().sum()
}

struct Search<'s, 'p> {
    tree: &'s Tree,
    packing: &'s Packing<'p>,
    item: usize,
    need: &'s Amount,
    /// By how many fine points the sum of a VM rises.
    gain: u64,
}

impl Search<'_, '_> {
    fn descend(&self, node: usize, best: &mut Option<(u64, usize)>) {
        let here = &self.tree.nodes[node];
        let leaves = self.tree.nodes.len() / 2;
        if !here.may_hold(self.need) {
            return;
        }
        if node < leaves {
            let most = ((here.points + self.gain) >> 16) / 2;
            let oldest = self.tree.oldest(node);
            if best
                .is_some_and(|(score, vm)| most < score || (most == score && oldest.is_none_or(|o| o > vm)))
            {
                return;
            }
            let (left, right) = (2 * node, 2 * node + 1);
            let better_right = self.tree.nodes[right].points > self.tree.nodes[left].points;
            for child in if better_right { [right, left] } else { [left, right] } {
                self.descend(child, best);
            }
            return;
        }
        let Some(&vm) = self.tree.vms.get(node - leaves) else { return };
        let [cpu, memory] = points(
            &self.packing.problem.sizes[self.packing.vms[vm].size].room,
            &self.packing.vms[vm].room,
            self.need,
        );
        let score = (cpu + memory) / 2;
        let wins = best.is_none_or(|(most, oldest)| score > most || (score == most && vm < oldest));
        if wins && self.packing.admits(vm, self.item, self.need) {
            *best = Some((score, vm));
        }
    }
}

impl Tree {
    fn set(&mut self, place: usize, value: Node) {
        let leaves = self.nodes.len() / 2;
        if place >= leaves {
            self.grow();
            return self.set(place, value);
        }
        let mut node = leaves + place;
        self.nodes[node] = value;
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node].join(&self.nodes[2 * node + 1]);
        }
    }

    fn grow(&mut self) {
        let old = self.nodes.len() / 2;
        let leaves = (2 * old).max(8);
        let mut nodes = vec![Node::default(); 2 * leaves];
        nodes[leaves..leaves + old].copy_from_slice(&self.nodes[old..]);
        for node in (1..leaves).rev() {
            nodes[node] = nodes[2 * node].join(&nodes[2 * node + 1]);
        }
        self.nodes = nodes;
    }

    /// The oldest VM below a node: that of its leftmost leaf.
    fn oldest(&self, mut node: usize) -> Option<usize> {
        let leaves = self.nodes.len() / 2;
        let levels = leaves.ilog2() - node.ilog2();
        node <<= levels;
        self.vms.get(node - leaves).copied()
    }

    fn first(
        &self,
        packing: &Packing<'_>,
        item: usize,
        need: &Amount,
        budget: &mut usize,
        node: usize,
    ) -> Option<usize> {
        if *budget == 0 || !self.nodes[node].may_hold(need) {
            return None;
        }
        *budget -= 1;
        let leaves = self.nodes.len() / 2;
        if node < leaves {
            let mut child = |child| self.first(packing, item, need, budget, child);
            return child(2 * node).or_else(|| child(2 * node + 1));
        }
        let vm = *self.vms.get(node - leaves)?;
        packing.admits(vm, item, need).then_some(vm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What a VM holds, the nodes above it do not deny; and where few VMs are below, they claim no more.
        #[test]
        fn corners_deny_nothing_that_fits(
            rooms in proptest::collection::vec((0_u64..50, 0_u64..50), 1..20), need in (0_u64..50, 0_u64..50)
        ) {
            let nodes = rooms.iter().map(|&(cpu, memory)| Node::of(&[cpu, memory, 1, 1], 0));
            let above = nodes.reduce(|one, other| one.join(&other)).expect("at least one");
            let need = [need.0, need.1, 1, 1];
            let held = rooms.iter().any(|&(cpu, memory)| need[0] <= cpu && need[1] <= memory);
            prop_assert!(above.may_hold(&need) || !held);
            if rooms.len() <= CORNERS && (need[0], need[1]) != (0, 0) {
                prop_assert_eq!(above.may_hold(&need), held);
            }
        }
    }
}
