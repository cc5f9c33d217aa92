//! A task made ready for packing: pods become items of four whole numbers each, sizes become rooms of
//! four, and what labels, taints and terms say is looked up once.

use std::collections::{BTreeMap, HashMap};

use crate::catalogue::VmSize;
use crate::constraint::HOSTNAME;
use crate::error::PlacementError;
use crate::item::{Amount, Item, Part, Size, UNLIMITED, Unit, fits, plus};
use crate::leaders::Leaders;
use crate::pod::{Client, ContainerKind, Pod};
use crate::rates::Rates;
use crate::relation::Relations;
use crate::resources::Resources;
use crate::strategy::{HostModel, Rules, Splitting, Task};

/// A client ready to be packed.
#[derive(Clone, Debug)]
pub(crate) struct Problem<'a> {
    /// Where it comes from.
    pub(crate) task: Task<'a>,
    /// The sizes, as in the catalogue.
    pub(crate) sizes: Vec<Size>,
    /// What is to be placed, in order of arrival.
    pub(crate) items: Vec<Item>,
    /// For each set of sizes that some item admits, which are in it.
    pub(crate) profiles: Vec<Vec<bool>>,
    /// How items seek and avoid each other.
    pub(crate) relations: Relations,
    /// What room costs at least.
    pub(crate) rates: Rates,
}

impl<'a> Problem<'a> {
    /// Checks a task and makes it ready.
    ///
    /// # Errors
    /// What is wrong with the client's pods, or which of them no size can hold.
    pub(crate) fn new(task: Task<'a>) -> Result<Self, PlacementError> {
        let client = task.client;
        check(client)?;
        let sizes = rooms(&task);
        let mut profiles = Profiles::new(&task, &sizes);
        let bundles = bundles(client)?;
        let mut items = Vec::with_capacity(bundles.len());
        for pods in bundles {
            items.push(profiles.item(&task, &sizes, pods)?);
        }
        let relations = Relations::of(&task, &items, &profiles.sets);
        let rates = Rates::of(&sizes, &profiles.sets);
        Ok(Self { task, sizes, items, profiles: profiles.sets, relations, rates })
    }

    /// The same problem with no item split.
    pub(crate) fn whole(mut self) -> Self {
        for item in &mut self.items {
            item.units.clear();
        }
        self.task.rules.splitting = Splitting::Whole;
        self
    }

    /// Some of the items alone. Their relations are left out.
    pub(crate) fn subset(&self, items: &[usize]) -> Self {
        let items = items.iter().map(|&item| self.items[item].clone()).collect();
        Self { items, relations: Relations::default(), ..self.clone_frame() }
    }

    fn clone_frame(&self) -> Self {
        Self {
            task: self.task,
            sizes: self.sizes.clone(),
            items: Vec::new(),
            profiles: self.profiles.clone(),
            relations: Relations::default(),
            rates: self.rates.clone(),
        }
    }

    /// Whether `size` may hold the item.
    pub(crate) fn admits(&self, item: usize, size: usize) -> bool {
        self.profiles[self.items[item].profile][size]
    }

    /// The most fractions of one pod.
    pub(crate) fn max_fractions(&self) -> usize {
        self.task.rules.splitting.max_fractions() as usize
    }

    /// The sizes that can be had and that some item admits.
    pub(crate) fn usable_sizes(&self) -> Vec<usize> {
        let usable = |size: &usize| {
            self.sizes[*size].available > 0 && self.profiles.iter().any(|profile| profile[*size])
        };
        (0..self.sizes.len()).filter(usable).collect()
    }

    /// What all items take at least together.
    pub(crate) fn demand(&self) -> Amount {
        self.items.iter().fold([0; 4], |sum, item| plus(sum, item.whole))
    }

    /// The amount that all prices are multiples of.
    pub(crate) fn price_step(&self) -> u64 {
        fn divisor(a: u64, b: u64) -> u64 {
            if b == 0 { a } else { divisor(b, a % b) }
        }
        self.sizes.iter().fold(0, |step, size| divisor(step, size.price)).max(1)
    }

    /// What must be placed at least, and of each part the item and, where that may be split, the unit.
    pub(crate) fn parts(&self) -> (Vec<Part>, Vec<(usize, Option<usize>)>) {
        let (mut parts, mut origin) = (Vec::new(), Vec::new());
        for (index, item) in self.items.iter().enumerate() {
            let profile = item.profile;
            if item.units.is_empty() {
                parts.push(Part { need: item.whole, profile });
                origin.push((index, None));
            }
            for (unit, of) in item.units.iter().enumerate() {
                parts.push(Part { need: of.least, profile });
                origin.push((index, Some(unit)));
            }
        }
        (parts, origin)
    }

    /// An item's pods by name, for messages.
    pub(crate) fn name(&self, item: usize) -> String {
        self.task.client.pods[self.items[item].pods[0]].name.clone()
    }

    /// That no VM is left for the item: limits of the catalogue or, without any, other pods' demands.
    pub(crate) fn no_room(&self, item: usize) -> PlacementError {
        let (client, pod) = (self.task.client.name.clone(), self.name(item));
        match self.relations.demand(item) {
            Some(demand) if self.sizes.iter().all(|size| size.available == u32::MAX) => {
                PlacementError::Unsatisfiable { client, pod, demand }
            }
            _ => PlacementError::Exhausted { client, pod },
        }
    }
}

/// Refuses clients that cannot be reasoned about, whatever the catalogue.
///
/// # Errors
/// A pod without containers, a set of inseparable containers that names none, or totals beyond counting.
pub fn check(client: &Client) -> Result<(), PlacementError> {
    let mut total = Resources::ZERO;
    for pod in &client.pods {
        let (client, name, count) = (client.name.clone(), pod.name.clone(), pod.containers.len());
        if count == 0 {
            return Err(PlacementError::NoContainers { client, pod: name });
        }
        if let Some(&container) = pod.inseparable.iter().flatten().find(|&&index| index >= count) {
            return Err(PlacementError::NoSuchContainer { client, pod: name, container, count });
        }
        let overhead = pod.overhead.times(count as u64);
        total += pod.containers.iter().map(|container| container.request).sum::<Resources>() + overhead;
    }
    if !total.fits(Resources::new(UNLIMITED, UNLIMITED)) {
        return Err(PlacementError::TooMuch { client: client.name.clone() });
    }
    Ok(())
}

fn rooms(task: &Task<'_>) -> Vec<Size> {
    let room = |size: &VmSize| {
        let free = size.allocatable();
        let limit = |most: Option<u32>| most.map_or(UNLIMITED, u64::from);
        [
            free.cpu_milli.min(UNLIMITED),
            free.memory_bytes.min(UNLIMITED),
            limit(size.max_pods),
            limit(size.nics),
        ]
    };
    let sizes = task.catalogue.sizes().iter().map(|size| Size {
        price: size.price.micro_dollars(),
        room: room(size),
        available: size.available.unwrap_or(u32::MAX),
        capacity: size.capacity,
    });
    sizes.collect()
}

/// Pods that must share a VM, by affinity over single VMs: each with the first pod it seeks. Sorted by
/// their first pod.
fn bundles(client: &Client) -> Result<Vec<Vec<usize>>, PlacementError> {
    let pods = &client.pods;
    let mut leaders = Leaders::of(pods.len());
    for (index, pod) in pods.iter().enumerate() {
        for term in pod.constraints.affinity.iter().filter(|term| term.topology_key == HOSTNAME) {
            let Some(target) = pods.iter().position(|other| term.selector.matches(&other.labels)) else {
                let (client, pod) = (client.name.clone(), pod.name.clone());
                return Err(PlacementError::Unsatisfiable { client, pod, demand: "affinity" });
            };
            leaders.join(index, target);
        }
    }
    let mut bundles: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..pods.len() {
        bundles.entry(leaders.leader(index)).or_default().push(index);
    }
    Ok(bundles.into_values().collect())
}

/// The sets of admitted sizes seen so far.
struct Profiles {
    sets: Vec<Vec<bool>>,
    known: HashMap<Vec<bool>, usize>,
    unlimited: Vec<bool>,
}

impl Profiles {
    fn new(task: &Task<'_>, sizes: &[Size]) -> Self {
        let exists = |size: &Size| match task.rules.hosts {
            HostModel::OnePerClient => true,
            HostModel::Sized(host) => size.capacity.fits(host),
        };
        let unlimited = sizes.iter().map(|size| exists(size) && size.available > 0).collect();
        Self { sets: Vec::new(), known: HashMap::new(), unlimited }
    }

    fn item(&mut self, task: &Task<'_>, sizes: &[Size], pods: Vec<usize>) -> Result<Item, PlacementError> {
        let members: Vec<&Pod> = pods.iter().map(|&pod| &task.client.pods[pod]).collect();
        let admitted = self.admitted(task, &members);
        let (client, pod) = (task.client.name.clone(), members[0].name.clone());
        if !admitted.contains(&true) {
            return Err(PlacementError::NoSizeAdmitted { client, pod });
        }
        let whole = members.iter().fold([0; 4], |sum, pod| plus(sum, whole(pod)));
        let units = if members.len() == 1 { units(members[0], task.rules) } else { Vec::new() };
        let fraction = {
            let Resources { cpu_milli, memory_bytes } = members[0].overhead;
            [cpu_milli, memory_bytes, 1, u64::from(members[0].nics) + 1]
        };
        let held = |need: Amount| (0..sizes.len()).any(|s| admitted[s] && fits(&need, &sizes[s].room));
        let too_large = |part: String, need: Amount| PlacementError::FitsNoSize {
            client: client.clone(),
            pod: pod.clone(),
            part,
            request: Resources::new(need[0], need[1]),
        };
        if !held(whole) {
            if units.is_empty() {
                return Err(too_large("all".into(), whole));
            }
            if let Some(unit) = units.iter().find(|unit| !held(plus(unit.need, fraction))) {
                let part = members[0].containers[unit.containers[0]].name.clone();
                return Err(too_large(part, plus(unit.need, fraction)));
            }
        }
        let profile = self.index(admitted);
        Ok(Item { pods, whole, profile, units, fraction })
    }

    fn admitted(&self, task: &Task<'_>, pods: &[&Pod]) -> Vec<bool> {
        let sizes = task.catalogue.sizes().iter().zip(&self.unlimited);
        let admits = |(size, exists): (&VmSize, &bool)| {
            *exists
                && pods.iter().all(|pod| {
                    let constraints = &pod.constraints;
                    let has = |key: &String| key == HOSTNAME || size.labels.contains_key(key);
                    constraints.admits(&size.labels, &size.taints)
                        && constraints.affinity.iter().all(|term| has(&term.topology_key))
                        && constraints.spread.iter().all(|spread| has(&spread.topology_key))
                })
        };
        sizes.map(admits).collect()
    }

    fn index(&mut self, admitted: Vec<bool>) -> usize {
        if let Some(&index) = self.known.get(&admitted) {
            return index;
        }
        self.sets.push(admitted.clone());
        self.known.insert(admitted, self.sets.len() - 1);
        self.sets.len() - 1
    }
}

fn whole(pod: &Pod) -> Amount {
    let Resources { cpu_milli, memory_bytes } = pod.request();
    [cpu_milli, memory_bytes, 1, u64::from(pod.nics)]
}

fn units(pod: &Pod, rules: Rules) -> Vec<Unit> {
    if rules.splitting.max_fractions() < 2 || pod.containers.len() < 2 {
        return Vec::new();
    }
    let units = pod.units();
    if units.len() < 2 {
        return Vec::new();
    }
    let unit = |containers: Vec<usize>| {
        let need = pod.request_of(containers.iter().copied());
        let least = containers.iter().map(|&index| &pod.containers[index]);
        let least = least.filter(|container| container.kind != ContainerKind::Init);
        let least: Resources = least.map(|container| container.request).sum();
        Unit {
            containers,
            need: [need.cpu_milli, need.memory_bytes, 0, 0],
            least: [least.cpu_milli, least.memory_bytes, 0, 0],
        }
    };
    units.into_iter().map(unit).collect()
}
