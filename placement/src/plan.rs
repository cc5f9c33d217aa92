//! A finished placement: which VMs are bought, and which container is in which.

use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::price::Price;

/// Part of a pod in one VM; all of it when the pod is not split.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fraction {
    /// Index of the pod in [`Client::pods`](crate::Client::pods).
    pub pod: usize,
    /// Ascending indices into [`Pod::containers`](crate::Pod::containers).
    pub containers: Vec<usize>,
}

/// One bought VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedVm {
    /// Index of its size in [`Catalogue::sizes`].
    pub size: usize,
    /// VMs with the same number must be on the same physical host, because they share split pods. `None`
    /// for a VM that may be anywhere.
    pub host: Option<usize>,
    /// What runs in it; one fraction of a pod at most.
    pub fractions: Vec<Fraction>,
}

/// A placement of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The VMs, none of them empty.
    pub vms: Vec<PlannedVm>,
}

/// How good a plan is: cost first, then the number of split pods, then that of their fractions. Less is
/// better, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Score {
    /// Price of one hour.
    pub cost: Price,
    /// Pods over more than one VM.
    pub split_pods: usize,
    /// Fractions of split pods.
    pub fractions: usize,
}

impl Score {
    /// `parts`: in how many VMs each pod is.
    pub(crate) fn of(cost: Price, parts: &[usize]) -> Self {
        let split = parts.iter().filter(|&&parts| parts > 1);
        Self { cost, split_pods: split.clone().count(), fractions: split.sum() }
    }
}

impl Plan {
    /// Price of one hour. `catalogue` is the one the plan was made with.
    pub fn cost(&self, catalogue: &Catalogue) -> Price {
        self.vms.iter().map(|vm| catalogue.sizes()[vm.size].price).sum()
    }

    /// Cost, split pods and fractions.
    pub fn score(&self, catalogue: &Catalogue) -> Score {
        let pods = self.vms.iter().flat_map(|vm| &vm.fractions).map(|f| f.pod + 1).max().unwrap_or(0);
        let mut parts = vec![0_usize; pods];
        for fraction in self.vms.iter().flat_map(|vm| &vm.fractions) {
            parts[fraction.pod] += 1;
        }
        Score::of(self.cost(catalogue), &parts)
    }
}
