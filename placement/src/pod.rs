//! Clients, pods and containers, as the planner sees them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::constraint::{Constraints, Labels};
use crate::resources::Resources;

/// Who pays: the unit that is planned alone. VMs are never shared between clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Unique name, for messages and reports.
    pub name: String,
    /// The pods, in the order in which they arrive. [`Plan`](crate::Plan) refers to them by index.
    pub pods: Vec<Pod>,
}

/// When a container runs, which decides how requests add up (Kubernetes,
/// "Resource sharing within containers", pod-lifecycle/init-containers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerKind {
    /// Runs all the time.
    #[default]
    App,
    /// An init container that restarts always: it starts in its turn and then stays.
    Sidecar,
    /// An init container: it runs alone (beside earlier sidecars), before the app containers.
    Init,
}

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Name, unique in the pod.
    pub name: String,
    /// What is reserved for it (its request; a reader takes the limit where there is no request).
    pub request: Resources,
    /// When it runs.
    #[serde(default)]
    pub kind: ContainerKind,
}

/// One pod. Containers are in start order: init containers and sidecars first, as Kubernetes lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Unique name (for Kubernetes `namespace/name`).
    pub name: String,
    /// Labels that the selectors of other pods are matched against.
    #[serde(default)]
    pub labels: Labels,
    /// At least one. [`Fraction`](crate::Fraction) refers to them by index.
    pub containers: Vec<Container>,
    /// Sets of container indices that may not be separated: shared process or IPC namespace, hostPath, a
    /// volume that only one VM can mount, or the user's wish. Overlapping sets are one. A set of all
    /// containers forbids to split the pod.
    #[serde(default)]
    pub inseparable: Vec<Vec<usize>>,
    /// The sandbox's own need (RuntimeClass overhead), for the pod or for each of its fractions.
    #[serde(default)]
    pub overhead: Resources,
    /// NICs of the VM that the pod, or each of its fractions, occupies. A fraction needs one more: its
    /// endpoint of the loopback group.
    #[serde(default = "one_nic")]
    pub nics: u32,
    /// Where it may be placed.
    #[serde(default)]
    pub constraints: Constraints,
}

fn one_nic() -> u32 {
    1
}

impl Pod {
    /// A pod of app containers named `0`, `1`, … that may all be separated, with no constraints.
    pub fn of(name: impl Into<String>, requests: impl IntoIterator<Item = Resources>) -> Self {
        let containers = requests.into_iter().enumerate().map(|(index, request)| Container {
            name: index.to_string(),
            request,
            kind: ContainerKind::App,
        });
        Self {
            name: name.into(),
            labels: BTreeMap::new(),
            containers: containers.collect(),
            inseparable: Vec::new(),
            overhead: Resources::ZERO,
            nics: 1,
            constraints: Constraints::default(),
        }
    }

    /// What the pod reserves when it is not split: the scheduler's effective request, overhead included.
    pub fn request(&self) -> Resources {
        self.overhead + self.request_of(0..self.containers.len())
    }

    /// What the containers with these indices (ascending) reserve together, without overhead: the app
    /// containers and sidecars that stay, or the greatest need while the init containers run.
    pub fn request_of(&self, containers: impl IntoIterator<Item = usize>) -> Resources {
        let (mut staying, mut sidecars, mut peak) = (Resources::ZERO, Resources::ZERO, Resources::ZERO);
        for container in containers.into_iter().map(|index| &self.containers[index]) {
            match container.kind {
                ContainerKind::App => staying += container.request,
                ContainerKind::Sidecar => {
                    staying += container.request;
                    sidecars += container.request;
                    peak = peak.max(sidecars);
                }
                ContainerKind::Init => peak = peak.max(sidecars + container.request),
            }
        }
        staying.max(peak)
    }

    /// The smallest parts the pod can be split into: sets of container indices, each ascending, in order of
    /// their first container. Init containers that nothing ties down go with the first app container, since
    /// they prepare what it uses. An index in [`Pod::inseparable`] that names no container is ignored here
    /// and refused by [`check`](crate::check).
    pub fn units(&self) -> Vec<Vec<usize>> {
        let count = self.containers.len();
        let mut leader: Vec<usize> = (0..count).collect();
        for set in &self.inseparable {
            let mut members = set.iter().copied().filter(|&index| index < count);
            if let Some(first) = members.next() {
                members.for_each(|other| join(&mut leader, first, other));
            }
        }
        let tied = |leader: &[usize], index: usize| {
            (0..count).any(|other| other != index && root(leader, other) == root(leader, index))
        };
        let app = self.containers.iter().position(|container| container.kind == ContainerKind::App);
        if let Some(app) = app.filter(|_| self.containers.iter().any(|c| c.kind == ContainerKind::Init)) {
            for index in 0..count {
                if self.containers[index].kind == ContainerKind::Init && !tied(&leader, index) {
                    join(&mut leader, app, index);
                }
            }
        }
        let mut units: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for index in 0..count {
            units.entry(root(&leader, index)).or_default().push(index);
        }
        units.into_values().collect()
    }
}

fn root(leader: &[usize], mut index: usize) -> usize {
    while leader[index] != index {
        index = leader[index];
    }
    index
}

/// Joins two sets under the lower of their leaders, so that units stay in container order.
fn join(leader: &mut [usize], one: usize, other: usize) {
    let (one, other) = (root(leader, one), root(leader, other));
    leader[one.max(other)] = one.min(other);
}
