//! Affinity, anti-affinity and spread, as counts of pods in topology domains.
//!
//! A *relation* has carriers (items with the term) and matches (items its selector means). Affinity over
//! single VMs is not here: items that seek each other's VM are one item.

use std::collections::BTreeMap;

use crate::catalogue::VmSize;
use crate::constraint::{HOSTNAME, PodSelector};
use crate::item::Item;
use crate::strategy::Task;

/// What a relation asks of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Demand {
    /// A domain with a carrier has at most so many matches.
    AtMost(u32),
    /// A domain has at most so many more matches than the emptiest one.
    Skew(u32),
    /// A domain with a carrier has a match beside it; the very first may be alone if it matches itself.
    Company,
}

#[derive(Clone, Debug)]
struct Relation {
    demand: Demand,
    /// The domain of each size, `None` where the size has none; for VMs as domains, no list.
    domains: Option<Vec<Option<usize>>>,
    /// Which domains are compared, for skew.
    eligible: Vec<bool>,
}

/// An item's part in a relation.
#[derive(Clone, Copy, Debug)]
struct Role {
    relation: usize,
    carries: bool,
    matches: u32,
}

/// All relations of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relations {
    relations: Vec<Relation>,
    roles: Vec<Vec<Role>>,
}

impl Relations {
    /// Finds the relations between `items`.
    pub(crate) fn of(task: &Task<'_>, items: &[Item], profiles: &[Vec<bool>]) -> Self {
        let pods = &task.client.pods;
        if pods.iter().all(|pod| pod.constraints.is_unary()) {
            return Self::default();
        }
        let mut found = Self { relations: Vec::new(), roles: vec![Vec::new(); items.len()] };
        let mut carriers: BTreeMap<Key<'_>, Vec<usize>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            for key in item.pods.iter().flat_map(|&pod| keys(task, pod, item.profile)) {
                let known = carriers.entry(key).or_default();
                if known.last() != Some(&index) {
                    known.push(index);
                }
            }
        }
        for (key, carriers) in carriers {
            found.add(task, items, profiles, &key, &carriers);
        }
        found
    }

    fn add(
        &mut self,
        task: &Task<'_>,
        items: &[Item],
        profiles: &[Vec<bool>],
        key: &Key<'_>,
        carriers: &[usize],
    ) {
        let mut values: Vec<&String> = Vec::new();
        let domains = (key.topology != HOSTNAME).then(|| {
            let value = |size: &VmSize| size.labels.get(key.topology).cloned();
            let sizes: Vec<Option<String>> = task.catalogue.sizes().iter().map(value).collect();
            sizes
        });
        if let Some(domains) = &domains {
            values = domains.iter().flatten().collect();
            values.sort();
            values.dedup();
        }
        let domain = |value: &Option<String>| value.as_ref().and_then(|v| values.binary_search(&v).ok());
        let indices: Option<Vec<Option<usize>>> = domains.as_ref().map(|d| d.iter().map(domain).collect());
        let mut eligible = vec![false; values.len()];
        for (size, domain) in indices.iter().flatten().enumerate() {
            if let (Some(domain), true) = (domain, profiles[key.profile][size]) {
                eligible[*domain] = true;
            }
        }
        let relation = self.relations.len();
        self.relations.push(Relation { demand: key.demand, domains: indices, eligible });
        for (index, item) in items.iter().enumerate() {
            let pods = item.pods.iter().map(|&pod| &task.client.pods[pod]);
            let matches = pods.filter(|pod| key.selector.matches(&pod.labels)).count() as u32;
            let carries = carriers.binary_search(&index).is_ok();
            if carries || matches > 0 {
                self.roles[index].push(Role { relation, carries, matches });
            }
        }
    }

    /// Whether no item seeks or avoids another.
    pub(crate) fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }

    /// Which kind of demand an item makes of others, if it makes any.
    pub(crate) fn demand(&self, item: usize) -> Option<&'static str> {
        let role = self.roles.get(item)?.first()?;
        Some(match self.relations[role.relation].demand {
            Demand::AtMost(_) => "anti-affinity or spread",
            Demand::Skew(_) => "topology spread",
            Demand::Company => "affinity",
        })
    }

    /// Whether the item should be placed after others, because it seeks them.
    pub(crate) fn seeks(&self, item: usize) -> bool {
        let roles = self.roles.get(item).map_or(&[][..], |roles| roles);
        roles.iter().any(|role| role.carries && self.relations[role.relation].demand == Demand::Company)
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    topology: &'a str,
    selector: &'a PodSelector,
    demand: Demand,
    profile: usize,
}

fn keys<'a>(task: &Task<'a>, pod: usize, profile: usize) -> Vec<Key<'a>> {
    let pod = &task.client.pods[pod];
    let constraints = &pod.constraints;
    let mut keys = Vec::new();
    for term in constraints.affinity.iter().filter(|term| term.topology_key != HOSTNAME) {
        let (topology, selector) = (term.topology_key.as_str(), &term.selector);
        keys.push(Key { topology, selector, demand: Demand::Company, profile: 0 });
    }
    for term in &constraints.anti_affinity {
        let most = u32::from(term.selector.matches(&pod.labels));
        let (topology, selector) = (term.topology_key.as_str(), &term.selector);
        keys.push(Key { topology, selector, demand: Demand::AtMost(most), profile: 0 });
    }
    for spread in &constraints.spread {
        let (topology, selector) = (spread.topology_key.as_str(), &spread.selector);
        let (demand, profile) = match topology {
            HOSTNAME => (Demand::AtMost(spread.max_skew), 0),
            _ => (Demand::Skew(spread.max_skew), profile),
        };
        keys.push(Key { topology, selector, demand, profile });
    }
    keys
}

/// How many carriers and matches are in each domain so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    /// By relation, then by domain: carriers and matches. Over VMs, the domain is the VM.
    counts: Vec<Vec<(u32, u32)>>,
}

impl Census {
    /// Nothing placed yet.
    pub(crate) fn new(relations: &Relations) -> Self {
        let domains = |relation: &Relation| vec![(0, 0); relation.eligible.len()];
        Self { counts: relations.relations.iter().map(domains).collect() }
    }

    /// Whether a pod or fraction of `item` may be added to VM `vm` of `size`.
    pub(crate) fn admits(&self, relations: &Relations, item: usize, vm: usize, size: usize) -> bool {
        let Some(roles) = relations.roles.get(item) else { return true };
        roles.iter().all(|role| {
            let relation = &relations.relations[role.relation];
            let Some(domain) = relation.domain(vm, size) else { return true };
            let counts = &self.counts[role.relation];
            let (carriers, matches) = counts.get(domain).copied().unwrap_or_default();
            match relation.demand {
                Demand::AtMost(most) => (carriers == 0 && !role.carries) || matches + role.matches <= most,
                Demand::Skew(skew) => {
                    role.matches == 0 || matches + role.matches <= relation.least(counts) + skew
                }
                Demand::Company => {
                    let first = role.matches > 0 && counts.iter().all(|&(_, matches)| matches == 0);
                    !role.carries || matches > 0 || first
                }
            }
        })
    }

    /// Whether every demand holds now. [`admits`](Self::admits) sees to that while items only come; this is
    /// for when one was taken out, on which others may have relied.
    pub(crate) fn holds(&self, relations: &Relations) -> bool {
        relations.relations.iter().zip(&self.counts).all(|(relation, counts)| {
            let mut carried = counts.iter().filter(|(carriers, _)| *carriers > 0);
            match relation.demand {
                Demand::AtMost(most) => carried.all(|&(_, matches)| matches <= most),
                Demand::Skew(skew) => {
                    let least = relation.least(counts);
                    carried.all(|&(_, matches)| matches <= least + skew)
                }
                Demand::Company => carried.all(|&(_, matches)| matches > 0),
            }
        })
    }

    /// Counts a pod or fraction of `item` in.
    pub(crate) fn add(&mut self, relations: &Relations, item: usize, vm: usize, size: usize) {
        for role in relations.roles.get(item).into_iter().flatten() {
            let Some(domain) = relations.relations[role.relation].domain(vm, size) else { continue };
            let counts = &mut self.counts[role.relation];
            if counts.len() <= domain {
                counts.resize(domain + 1, (0, 0));
            }
            counts[domain].0 += u32::from(role.carries);
            counts[domain].1 += role.matches;
        }
    }

    /// Takes a pod or fraction of `item`, which was counted in, out again.
    pub(crate) fn remove(&mut self, relations: &Relations, item: usize, vm: usize, size: usize) {
        for role in relations.roles.get(item).into_iter().flatten() {
            let Some(domain) = relations.relations[role.relation].domain(vm, size) else { continue };
            let counts = &mut self.counts[role.relation][domain];
            counts.0 -= u32::from(role.carries);
            counts.1 -= role.matches;
        }
    }
}

impl Relation {
    /// How many matches the emptiest of the domains that are compared has.
    fn least(&self, counts: &[(u32, u32)]) -> u32 {
        let eligible = counts.iter().zip(&self.eligible).filter(|(_, eligible)| **eligible);
        eligible.map(|((_, matches), _)| *matches).min().unwrap_or(0)
    }

    fn domain(&self, vm: usize, size: usize) -> Option<usize> {
        match &self.domains {
            None => Some(vm),
            Some(domains) => domains[size],
        }
    }
}
