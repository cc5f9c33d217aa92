//! Checks a plan against its task, from the plan alone: shares no code with the strategies that make plans.

use std::collections::{BTreeMap, BTreeSet};

use crate::constraint::{HOSTNAME, PodSelector};
use crate::plan::{Fraction, Plan};
use crate::pod::Pod;
use crate::resources::Resources;
use crate::strategy::{HostModel, Task};
use crate::violation::Violation;

/// Checks that a plan holds every container once and breaks no rule of its task.
///
/// # Errors
/// The first violation found.
pub fn verify(task: Task<'_>, plan: &Plan) -> Result<(), Violation> {
    shape(task, plan)?;
    containers(task, plan)?;
    capacity(task, plan)?;
    admission(task, plan)?;
    relations(task, plan)?;
    hosts(task, plan)
}

fn shape(task: Task<'_>, plan: &Plan) -> Result<(), Violation> {
    let pods = &task.client.pods;
    let sound = |fraction: &Fraction| {
        let count = pods.get(fraction.pod).map_or(0, |pod| pod.containers.len());
        !fraction.containers.is_empty()
            && fraction.containers.iter().all(|&index| index < count)
            && fraction.containers.is_sorted_by(|a, b| a < b)
    };
    for (vm, at) in plan.vms.iter().enumerate() {
        let once: BTreeSet<usize> = at.fractions.iter().map(|fraction| fraction.pod).collect();
        let whole = !at.fractions.is_empty() && once.len() == at.fractions.len();
        if at.size >= task.catalogue.sizes().len() || !whole || !at.fractions.iter().all(sound) {
            return Err(Violation::Malformed { vm });
        }
    }
    Ok(())
}

fn containers(task: Task<'_>, plan: &Plan) -> Result<(), Violation> {
    let pods = &task.client.pods;
    let mut place: Vec<Vec<Option<usize>>> =
        pods.iter().map(|pod| vec![None; pod.containers.len()]).collect();
    let mut parts = vec![0_u32; pods.len()];
    for (vm, at) in plan.vms.iter().enumerate() {
        for fraction in &at.fractions {
            parts[fraction.pod] += 1;
            for &container in &fraction.containers {
                if place[fraction.pod][container].replace(vm).is_some() {
                    return Err(Violation::Doubled { pod: fraction.pod, container });
                }
            }
        }
    }
    for (pod, place) in place.iter().enumerate() {
        if let Some(container) = place.iter().position(Option::is_none) {
            return Err(Violation::Lost { pod, container });
        }
        let together = |set: &Vec<usize>| set.iter().all(|&index| place[index] == place[set[0]]);
        let tied = pods[pod].units().iter().all(together);
        if parts[pod] > task.rules.splitting.max_fractions() || !tied {
            return Err(Violation::Split { pod });
        }
    }
    Ok(())
}

fn capacity(task: Task<'_>, plan: &Plan) -> Result<(), Violation> {
    let mut bought: BTreeMap<usize, u32> = BTreeMap::new();
    for (vm, at) in plan.vms.iter().enumerate() {
        let size = &task.catalogue.sizes()[at.size];
        *bought.entry(at.size).or_default() += 1;
        let (mut load, mut nics) = (Resources::ZERO, 0_u64);
        for fraction in &at.fractions {
            let pod = &task.client.pods[fraction.pod];
            load += pod.overhead + pod.request_of(fraction.containers.iter().copied());
            nics += u64::from(pod.nics) + u64::from(fraction.containers.len() < pod.containers.len());
        }
        let over = |used: u64, most: Option<u32>| most.is_some_and(|most| used > u64::from(most));
        let what = if !load.fits(size.allocatable()) {
            "CPU or memory"
        } else if over(at.fractions.len() as u64, size.max_pods) {
            "pods"
        } else if over(nics, size.nics) {
            "NICs"
        } else {
            continue;
        };
        return Err(Violation::Overfull { vm, what });
    }
    for (size, count) in bought {
        if task.catalogue.sizes()[size].available.is_some_and(|available| count > available) {
            return Err(Violation::Unavailable { size });
        }
    }
    Ok(())
}

fn admission(task: Task<'_>, plan: &Plan) -> Result<(), Violation> {
    for (vm, at) in plan.vms.iter().enumerate() {
        let size = &task.catalogue.sizes()[at.size];
        for fraction in &at.fractions {
            let pod = fraction.pod;
            if !task.client.pods[pod].constraints.admits(&size.labels, &size.taints) {
                return Err(Violation::NotAdmitted { pod, vm });
            }
        }
    }
    Ok(())
}

fn relations(task: Task<'_>, plan: &Plan) -> Result<(), Violation> {
    for at in plan.vms.iter().enumerate().flat_map(|(vm, at)| at.fractions.iter().map(move |f| (vm, f.pod))) {
        let (vm, index) = at;
        let pod = &task.client.pods[index];
        let around = Around { task, plan, vm, pod };
        if pod.constraints.is_unary() {
            continue;
        }
        let broken = |demand| Err(Violation::Relation { pod: index, demand });
        for term in &pod.constraints.anti_affinity {
            let own = u32::from(term.selector.matches(&pod.labels));
            if around.near(&term.topology_key, &term.selector) > own {
                return broken("anti-affinity");
            }
        }
        for term in &pod.constraints.affinity {
            let own = u32::from(term.selector.matches(&pod.labels));
            let near = around.near(&term.topology_key, &term.selector);
            let first = own == 1 && near == 1;
            if near <= own && !first {
                return broken("affinity");
            }
        }
        for spread in &pod.constraints.spread {
            if !around.even(&spread.topology_key, &spread.selector, spread.max_skew) {
                return broken("topology spread");
            }
        }
    }
    Ok(())
}

/// A pod in a VM, and what is around it.
struct Around<'a> {
    task: Task<'a>,
    plan: &'a Plan,
    vm: usize,
    pod: &'a Pod,
}

impl Around<'_> {
    fn domain(&self, vm: usize, key: &str) -> Option<String> {
        match key {
            HOSTNAME => Some(vm.to_string()),
            key => self.task.catalogue.sizes()[self.plan.vms[vm].size].labels.get(key).cloned(),
        }
    }

    fn matches(&self, vm: usize, selector: &PodSelector) -> u32 {
        let pods = self.plan.vms[vm].fractions.iter().map(|fraction| &self.task.client.pods[fraction.pod]);
        pods.filter(|pod| selector.matches(&pod.labels)).count() as u32
    }

    /// How many matching pods and fractions are in the pod's domain, itself included. Zero when the VM is
    /// in no domain.
    fn near(&self, key: &str, selector: &PodSelector) -> u32 {
        let Some(here) = self.domain(self.vm, key) else { return 0 };
        let vms = (0..self.plan.vms.len()).filter(|&vm| self.domain(vm, key).as_ref() == Some(&here));
        vms.map(|vm| self.matches(vm, selector)).sum()
    }

    fn even(&self, key: &str, selector: &PodSelector, max_skew: u32) -> bool {
        if key == HOSTNAME {
            return self.matches(self.vm, selector) <= max_skew;
        }
        let constraints = &self.pod.constraints;
        let sizes = self.task.catalogue.sizes().iter();
        let eligible = sizes.filter(|size| {
            constraints.admits(&size.labels, &size.taints)
                && size.available != Some(0)
                && constraints
                    .spread
                    .iter()
                    .all(|s| s.topology_key == HOSTNAME || size.labels.contains_key(&s.topology_key))
        });
        let mut counts: BTreeMap<String, u32> =
            eligible.filter_map(|size| size.labels.get(key).map(|value| (value.clone(), 0))).collect();
        for vm in 0..self.plan.vms.len() {
            if let Some(count) = self.domain(vm, key).and_then(|domain| counts.get_mut(&domain)) {
                *count += self.matches(vm, selector);
            }
        }
        let least = counts.values().copied().min().unwrap_or(0);
        self.near(key, selector) <= least + max_skew
    }
}

fn hosts(task: Task<'_>, plan: &Plan) -> Result<(), Violation> {
    let mut host: BTreeMap<usize, (usize, Option<usize>)> = BTreeMap::new();
    let mut load: BTreeMap<usize, Resources> = BTreeMap::new();
    for (vm, at) in plan.vms.iter().enumerate() {
        let capacity = task.catalogue.sizes()[at.size].capacity;
        match at.host {
            Some(host) => *load.entry(host).or_default() += capacity,
            None => {
                if let HostModel::Sized(size) = task.rules.hosts
                    && !capacity.fits(size)
                {
                    return Err(Violation::Host { vm });
                }
            }
        }
        for fraction in &at.fractions {
            let (first, on) = *host.entry(fraction.pod).or_insert((vm, at.host));
            if first != vm && (on.is_none() || on != at.host) {
                return Err(Violation::Host { vm });
            }
        }
    }
    if let HostModel::Sized(size) = task.rules.hosts {
        let full = |vm: usize| plan.vms[vm].host.is_some_and(|host| !load[&host].fits(size));
        if let Some(vm) = (0..plan.vms.len()).find(|&vm| full(vm)) {
            return Err(Violation::Host { vm });
        }
    }
    Ok(())
}
