//! What all clients have together: hosts of which there are so many, and sizes of which there are so many. Clients are
//! planned one by one, so that what they need together shows only here.

use crate::analysis::Outcome;
use nestless_placement::{Catalogue, Plan, Resources};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Hosts that are looked at, from the fullest on, before a new one is taken.
const MOST_PROBES: usize = 64;

/// The physical hosts that plans need, found by putting the largest VMs first on the fullest host that holds them; VMs
/// that share split pods go together. Fewer may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostsNeeded {
    /// What VMs can have of one host: thousandths of a vCPU.
    pub cpu_milli: u64,
    /// And memory.
    pub memory_bytes: u64,
    /// How many there are; `None` is as many as are needed.
    pub count: Option<u32>,
    /// For the scheduler's placement.
    pub as_is: usize,
    /// For the best whole-pod plan.
    pub whole: usize,
    /// For the best split plan.
    pub split: usize,
}

/// A VM of the split plan that there is no room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Homeless {
    /// Whose.
    pub client: String,
    /// Its number within the client's plan.
    pub vm: usize,
    /// Its size.
    pub size: String,
    /// What it would have needed, in words: "a host", "a VM of this size".
    pub lacks: &'static str,
}

/// How many hosts of `size` the plans need, and which VMs of the split plans find none of `count`.
pub fn hosts(
    outcomes: &[Outcome],
    catalogue: &Catalogue,
    size: Resources,
    count: Option<u32>,
) -> (HostsNeeded, Vec<Homeless>) {
    let needed = |plan: fn(&Outcome) -> &Plan| packed(&groups(outcomes, catalogue, plan), size);
    let groups = groups(outcomes, catalogue, |outcome| &outcome.comparison.split);
    let split = packed(&groups, size);
    let most = count.map_or(usize::MAX, |count| count as usize);
    let homeless = groups.iter().zip(&split).filter(|(_, host)| **host >= most).flat_map(|(group, _)| {
        let outcome = &outcomes[group.client];
        group.vms.iter().map(|&vm| homeless(outcome, catalogue, vm, "a host"))
    });
    let homeless = homeless.collect();
    let count_of = |hosts: &[usize]| hosts.iter().max().map_or(0, |last| last + 1);
    let needed = HostsNeeded {
        cpu_milli: size.cpu_milli,
        memory_bytes: size.memory_bytes,
        count,
        as_is: count_of(&needed(|outcome| &outcome.comparison.as_is)),
        whole: count_of(&needed(|outcome| &outcome.comparison.whole)),
        split: count_of(&split),
    };
    (needed, homeless)
}

/// The VMs of the split plans for which no VM of their size is left, clients served in order. The planner keeps these
/// limits for each client; this is about all of them.
pub fn sizes(outcomes: &[Outcome], catalogue: &Catalogue) -> Vec<Homeless> {
    let mut used: BTreeMap<usize, u32> = BTreeMap::new();
    let mut left = Vec::new();
    for outcome in outcomes {
        for (vm, at) in outcome.comparison.split.vms.iter().enumerate() {
            let used = used.entry(at.size).or_default();
            *used += 1;
            if catalogue.sizes()[at.size].available.is_some_and(|available| *used > available) {
                left.push(homeless(outcome, catalogue, vm, "a VM of this size"));
            }
        }
    }
    left
}

fn homeless(outcome: &Outcome, catalogue: &Catalogue, vm: usize, lacks: &'static str) -> Homeless {
    let size = &catalogue.sizes()[outcome.comparison.split.vms[vm].size];
    Homeless { client: outcome.client.name.clone(), vm, size: size.name.clone(), lacks }
}

impl std::fmt::Display for Homeless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client, vm, size, lacks } = self;
        write!(f, "client {client}: {lacks} is not left for VM {vm} ({size}) of the split plan")
    }
}

/// VMs that must be on one host.
struct Group {
    client: usize,
    vms: Vec<usize>,
    need: Resources,
}

fn groups(outcomes: &[Outcome], catalogue: &Catalogue, plan: fn(&Outcome) -> &Plan) -> Vec<Group> {
    let mut groups = Vec::new();
    for (client, outcome) in outcomes.iter().enumerate() {
        let mut shared: BTreeMap<usize, usize> = BTreeMap::new();
        for (vm, at) in plan(outcome).vms.iter().enumerate() {
            let need = catalogue.sizes()[at.size].capacity;
            let known = at.host.map(|host| *shared.entry(host).or_insert(groups.len()));
            match known.and_then(|index| groups.get_mut(index)) {
                Some(group) => {
                    let group: &mut Group = group;
                    group.vms.push(vm);
                    group.need += need;
                }
                None => groups.push(Group { client, vms: vec![vm], need }),
            }
        }
    }
    groups
}

/// The host of each group, numbered in the order in which they were taken.
fn packed(groups: &[Group], size: Resources) -> Vec<usize> {
    let share = |part: u64, whole: u64| (u128::from(part) << 32) / u128::from(whole.max(1));
    let dominant =
        |of: &Resources| share(of.cpu_milli, size.cpu_milli).max(share(of.memory_bytes, size.memory_bytes));
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|&group| (std::cmp::Reverse(dominant(&groups[group].need)), group));
    let mut free: Vec<Resources> = Vec::new();
    let mut by_room: BTreeSet<(u64, usize)> = BTreeSet::new();
    let mut hosts = vec![0; groups.len()];
    for group in order {
        let need = groups[group].need;
        let near = by_room.range((need.cpu_milli, 0)..).take(MOST_PROBES);
        let holding = near.map(|&(_, host)| host).find(|&host| need.fits(free[host]));
        let host = holding.unwrap_or_else(|| {
            free.push(size);
            free.len() - 1
        });
        by_room.remove(&(free[host].cpu_milli, host));
        free[host] = free[host].saturating_sub(need);
        by_room.insert((free[host].cpu_milli, host));
        hosts[group] = host;
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fleet;
    use crate::Lifetime;
    use crate::analysis::{Question, analyse};
    use crate::catalogue::{Reserve, read_toml};
    use nestless_placement::{HostModel, Pod, Terms};

    const GIB: u64 = 1 << 30;
    const HOST: Resources = Resources::new(8_000, 32 * GIB);

    /// Each client has three pods of two containers, which fill two VMs when one pod is split over them.
    fn outcomes(clients: usize, available: u32) -> (Vec<Outcome>, Catalogue) {
        let mut fleet = Fleet::default();
        for client in 0..clients {
            for pod in 0..3 {
                let pod = Pod::of(format!("p{pod}"), [Resources::new(1300, GIB); 2]);
                fleet.add(&format!("c{client}"), pod, Lifetime::default());
            }
        }
        let size = format!("[[size]]\nname='vm'\nprice=1\ncpu=4\nmemory='16Gi'\navailable={available}\n");
        let catalogue = read_toml(&size, "ours").unwrap().catalogue(Reserve::None, &[]).unwrap();
        let question = Question {
            catalogue: &catalogue,
            terms: Terms { hosts: HostModel::Sized(HOST), ..Terms::default() },
            strategy: None,
            lenient: false,
        };
        (analyse(&fleet, question, &|| ()).unwrap(), catalogue)
    }

    #[test]
    fn vms_that_share_a_pod_are_on_one_host() {
        let (outcomes, catalogue) = outcomes(3, 100);
        let (needed, homeless) = hosts(&outcomes, &catalogue, HOST, None);
        assert_eq!((needed.as_is, needed.whole, needed.split), (5, 5, 3));
        assert_eq!(homeless, []);
        let (_, homeless) = hosts(&outcomes, &catalogue, HOST, Some(2));
        assert_eq!(homeless.len(), 2);
        assert!(homeless.iter().all(|vm| vm.client == homeless[0].client && vm.lacks == "a host"));
        assert_eq!(hosts(&outcomes, &catalogue, HOST, Some(3)).1, []);
    }

    #[test]
    fn sizes_are_counted_over_all_clients() {
        let (outcomes, catalogue) = outcomes(2, 3);
        let left = sizes(&outcomes, &catalogue);
        assert_eq!(left.len(), 1, "each client keeps to three VMs, and both need four");
        assert_eq!(
            left[0].to_string(),
            "client c1: a VM of this size is not left for VM 1 (vm) of the split plan"
        );
    }
}
