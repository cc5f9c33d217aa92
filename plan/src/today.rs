//! The cluster as it runs today: its nodes as a price list, what they cost and hold, and what Hostlo would free of them
//! as a pass over the placement that is there.

use crate::catalogue::{Offer, Reserve, known_price};
use crate::fleet::Fleet;
use crate::read::kubernetes::Node;
use nestless_placement::constraint::{HOSTNAME, Labels};
use nestless_placement::{
    Client, Fraction, PlacementError, Plan, PlannedVm, Pod, Price, Resources, Rules, Task, Violation, VmSize,
    hostlo,
};
use nestless_support::error_chain::in_full;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a node costs whose price nobody knows: costs are numbers of nodes then.
const ONE: Price = Price(1_000_000);
/// Nodes of one kind differ by some KiB in what their kernels leave; rounded down, they are alike.
const GRAIN_BYTES: u64 = 1 << 20;

/// Today's nodes. Money in dollars an hour.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Today {
    /// All nodes.
    pub nodes: usize,
    /// Those that run at least one of the pods that are planned.
    pub nodes_used: usize,
    /// What they cost, as far as built-in price lists know their instance types.
    pub usd_per_hour: f64,
    /// Nodes whose price is not known; they are not in the sum.
    pub unpriced: usize,
    /// Pods that run on a node.
    pub pods: usize,
    /// Pods that wait for one.
    pub waiting: usize,
    /// Share of the nodes' CPU that those pods request, in percent of what pods can have.
    pub cpu_percent: f64,
    /// Share of the memory.
    pub memory_percent: f64,
    /// What remains after Hostlo as a pass over this placement.
    pub hostlo: Option<AfterHostlo>,
    /// Why there is no such pass, where there is none.
    pub note: String,
}

/// What remains of today's nodes after Hostlo as a pass over today's placement.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AfterHostlo {
    /// Nodes that are still needed for these pods.
    pub nodes: usize,
    /// What they cost; `None` when some node's price is not known.
    pub usd_per_hour: Option<f64>,
    /// Pods that are split for it.
    pub split_pods: usize,
}

/// The nodes of a cluster as sizes of which there are so many.
#[derive(Clone, Debug)]
pub struct NodeSizes {
    /// One size for nodes that are alike.
    pub offer: Offer,
    /// Whether every node's price is known; otherwise every node costs 1.
    pub is_priced: bool,
    /// The size of each node.
    sizes: Vec<usize>,
}

/// Nodes with the same instance type, room, taints, and values of the labels that any of `pods` asks for are one size.
pub fn node_sizes<'a>(nodes: &[Node], pods: impl Iterator<Item = &'a Pod>) -> NodeSizes {
    let keys = label_keys(pods);
    let prices: Vec<Option<Price>> = nodes.iter().map(price).collect();
    let is_priced = prices.iter().all(Option::is_some);
    let mut sizes: Vec<VmSize> = Vec::new();
    let mut of_node = Vec::with_capacity(nodes.len());
    for (node, price) in nodes.iter().zip(prices) {
        let size = size_of(node, if is_priced { price.unwrap_or(ONE) } else { ONE }, &keys);
        let alike =
            |known: &VmSize| VmSize { name: size.name.clone(), available: None, ..known.clone() } == size;
        // Two kinds of nodes may have one instance type: the name tells them apart.
        let known = sizes.iter().position(|known| base(&known.name) == size.name && alike(known));
        let index = known.unwrap_or_else(|| {
            let twins = sizes.iter().filter(|known| base(&known.name) == size.name).count();
            let name = if twins == 0 { size.name.clone() } else { format!("{} #{}", size.name, twins + 1) };
            sizes.push(VmSize { name, available: Some(0), ..size.clone() });
            sizes.len() - 1
        });
        sizes[index].available = sizes[index].available.map(|count| count + 1);
        of_node.push(index);
    }
    let offer = Offer {
        name: "nodes".into(),
        provider: String::new(),
        region: String::new(),
        as_of: String::new(),
        source: "the cluster's own nodes".into(),
        sizes,
        hosts: None,
    };
    NodeSizes { offer, is_priced, sizes: of_node }
}

/// A size's name without the number that tells it from others of its name.
fn base(name: &str) -> &str {
    name.split(" #").next().unwrap_or(name)
}

fn price(node: &Node) -> Option<Price> {
    node.instance_type.as_deref().and_then(known_price)
}

fn size_of(node: &Node, price: Price, keys: &BTreeSet<&str>) -> VmSize {
    let rounded = |of: Resources| Resources::new(of.cpu_milli, of.memory_bytes / GRAIN_BYTES * GRAIN_BYTES);
    let free = rounded(node.allocatable.saturating_sub(node.fixed));
    let capacity = rounded(node.capacity.max(node.allocatable));
    let known = |(key, _): &(&String, &String)| keys.contains(key.as_str());
    let labels: Labels = node.labels.iter().filter(known).map(|(k, v)| (k.clone(), v.clone())).collect();
    let unnamed =
        || format!("node of {} vCPU and {} MiB", capacity.cpu_milli / 1000, capacity.memory_bytes >> 20);
    VmSize {
        reserved: capacity.saturating_sub(free),
        max_pods: node.max_pods.map(|most| most.saturating_sub(node.fixed_pods)),
        taints: node.taints.clone(),
        labels,
        ..VmSize::of(node.instance_type.clone().unwrap_or_else(unnamed), price, capacity)
    }
}

/// The labels of nodes that decide where any of the pods may go.
pub fn label_keys<'a>(pods: impl Iterator<Item = &'a Pod>) -> BTreeSet<&'a str> {
    let mut keys = BTreeSet::new();
    for constraints in pods.map(|pod| &pod.constraints) {
        keys.extend(constraints.node_selector.keys().map(String::as_str));
        keys.extend(constraints.node_affinity.iter().flatten().map(|requirement| requirement.key.as_str()));
        let terms = constraints.affinity.iter().chain(&constraints.anti_affinity);
        let topologies = terms.map(|term| term.topology_key.as_str());
        let spread = constraints.spread.iter().map(|spread| spread.topology_key.as_str());
        keys.extend(topologies.chain(spread).filter(|key| *key != HOSTNAME));
    }
    keys
}

/// What there is of a cluster beside its pods.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// Its nodes.
    pub nodes: &'a [Node],
    /// Its DaemonSets.
    pub daemons: &'a [Pod],
    /// The node of each pod, by the pod's name.
    pub homes: &'a BTreeMap<String, String>,
}

/// What today's nodes cost and hold. `rules` are those of the pass over the placement.
pub fn today(fleet: &Fleet, present: Present<'_>, rules: Rules) -> Today {
    let pods: Vec<&Pod> = fleet.clients().iter().flat_map(|client| &client.pods).collect();
    let running: Vec<&Pod> =
        pods.iter().copied().filter(|pod| present.homes.contains_key(&pod.name)).collect();
    let prices: Vec<Option<Price>> = present.nodes.iter().map(price).collect();
    let all: Resources = present.nodes.iter().map(|node| node.allocatable.saturating_sub(node.fixed)).sum();
    let used: Resources = running.iter().map(|pod| pod.request()).sum();
    let occupied: BTreeSet<&String> = running.iter().filter_map(|pod| present.homes.get(&pod.name)).collect();
    let (hostlo, note) = match after_hostlo(fleet, present, rules) {
        Ok(after) => (Some(after), String::new()),
        Err(why) => (None, why),
    };
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 };
    Today {
        nodes: present.nodes.len(),
        nodes_used: occupied.len(),
        usd_per_hour: prices.iter().copied().flatten().sum::<Price>().dollars(),
        unpriced: prices.iter().filter(|price| price.is_none()).count(),
        pods: running.len(),
        waiting: pods.len() - running.len(),
        cpu_percent: share(used.cpu_milli, all.cpu_milli),
        memory_percent: share(used.memory_bytes, all.memory_bytes),
        hostlo,
        note,
    }
}

/// # Errors
/// In words, why the placement is none that the pass can begin with.
fn after_hostlo(fleet: &Fleet, present: Present<'_>, rules: Rules) -> Result<AfterHostlo, String> {
    let [client] = fleet.clients() else {
        return Err("several clients share the nodes, and the pass is for one client's".into());
    };
    let running = client.pods.iter().filter(|pod| present.homes.contains_key(&pod.name)).cloned();
    let client = Client { name: client.name.clone(), pods: running.collect() };
    if client.pods.is_empty() {
        return Err("no pod of the input says on which node it runs".into());
    }
    let sizes = node_sizes(present.nodes, client.pods.iter().chain(present.daemons));
    let catalogue = sizes.offer.catalogue(Reserve::None, present.daemons).map_err(|error| in_full(&error))?;
    let placement = placement(&client, present, &sizes)?;
    let task = Task { client: &client, catalogue: &catalogue, rules };
    let after = hostlo::over(task, &placement).map_err(|error| broken(&client, &error))?;
    let cost = after.cost(&catalogue).dollars();
    Ok(AfterHostlo {
        nodes: after.vms.len(),
        usd_per_hour: sizes.is_priced.then_some(cost),
        split_pods: after.score(&catalogue).split_pods,
    })
}

fn placement(client: &Client, present: Present<'_>, sizes: &NodeSizes) -> Result<Plan, String> {
    let mut held: BTreeMap<&str, Vec<Fraction>> = BTreeMap::new();
    for (pod, of) in client.pods.iter().enumerate() {
        let node = present.homes.get(&of.name).map_or("", String::as_str);
        let containers = (0..of.containers.len()).collect();
        held.entry(node).or_default().push(Fraction { pod, containers });
    }
    let mut vms = Vec::with_capacity(held.len());
    for (node, &size) in present.nodes.iter().zip(&sizes.sizes) {
        if let Some(fractions) = held.remove(node.name.as_str()) {
            vms.push(PlannedVm { size, host: None, fractions });
        }
    }
    match held.keys().next() {
        Some(node) => Err(format!("pods run on node {node}, which is not in the input")),
        None => Ok(Plan { vms }),
    }
}

/// Which rule the placement breaks, with the pod's name. Kubernetes keeps most rules only when it schedules, so that a
/// cluster may break them later.
fn broken(client: &Client, error: &PlacementError) -> String {
    let PlacementError::NoPlan { source, .. } = error else { return in_full(error) };
    let name = |pod: &usize| client.pods.get(*pod).map_or("", |pod| pod.name.as_str());
    match source {
        Violation::Relation { pod, demand } => {
            format!("the {demand} of pod {} does not hold in it", name(pod))
        }
        Violation::NotAdmitted { pod, .. } => format!("pod {} is on a node that it may not be on", name(pod)),
        other => format!("it breaks a rule: {other}"),
    }
}

#[cfg(test)]
mod tests;
