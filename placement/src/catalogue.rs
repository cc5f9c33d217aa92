//! What can be bought.

use serde::{Deserialize, Serialize};

use crate::constraint::{Labels, Taint};
use crate::error::PlacementError;
use crate::price::Price;
use crate::resources::Resources;

/// One kind of VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSize {
    /// Unique name in the catalogue, such as `m5.large`.
    pub name: String,
    /// Price of one hour.
    pub price: Price,
    /// What the VM has.
    pub capacity: Resources,
    /// What of it pods do not get: kubelet, system, eviction threshold, DaemonSets.
    #[serde(default)]
    pub reserved: Resources,
    /// The most pods (fractions count as pods), DaemonSets' own already taken off.
    #[serde(default)]
    pub max_pods: Option<u32>,
    /// The most pod NICs and loopback endpoints together.
    #[serde(default)]
    pub nics: Option<u32>,
    /// How many one client can have; `None` is as many as it wants. A VM that exists already is a size of
    /// its own with one to be had, at no price.
    #[serde(default)]
    pub available: Option<u32>,
    /// Labels of the node: selectors and topology domains refer to them.
    #[serde(default)]
    pub labels: Labels,
    /// Taints of the node.
    #[serde(default)]
    pub taints: Vec<Taint>,
}

impl VmSize {
    /// A size with nothing reserved and no limits but its capacity.
    pub fn of(name: impl Into<String>, price: Price, capacity: Resources) -> Self {
        Self {
            name: name.into(),
            price,
            capacity,
            reserved: Resources::ZERO,
            max_pods: None,
            nics: None,
            available: None,
            labels: Labels::new(),
            taints: Vec::new(),
        }
    }

    /// What pods can have.
    pub fn allocatable(&self) -> Resources {
        self.capacity.saturating_sub(self.reserved)
    }
}

/// The sizes that can be bought: at least one, each with room for something. [`Plan`](crate::Plan) refers
/// to them by index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Catalogue {
    sizes: Vec<VmSize>,
}

impl Catalogue {
    /// A catalogue of `sizes`, in the order given.
    ///
    /// # Errors
    /// [`PlacementError::EmptyCatalogue`], [`PlacementError::SizeTwice`] for a name given twice,
    /// [`PlacementError::SizeWithoutRoom`] for a size whose reserved part leaves no CPU or no memory, and
    /// [`PlacementError::SizeTooDear`] for a price that bounds could not be computed with.
    pub fn new(sizes: Vec<VmSize>) -> Result<Self, PlacementError> {
        if sizes.is_empty() {
            return Err(PlacementError::EmptyCatalogue);
        }
        for (index, size) in sizes.iter().enumerate() {
            if sizes[..index].iter().any(|earlier| earlier.name == size.name) {
                return Err(PlacementError::SizeTwice { size: size.name.clone() });
            }
            let room = size.allocatable();
            if room.cpu_milli == 0 || room.memory_bytes == 0 {
                return Err(PlacementError::SizeWithoutRoom { size: size.name.clone() });
            }
            if size.price > Price::MOST {
                return Err(PlacementError::SizeTooDear { size: size.name.clone() });
            }
        }
        Ok(Self { sizes })
    }

    /// The sizes; never empty.
    pub fn sizes(&self) -> &[VmSize] {
        &self.sizes
    }

    /// The same catalogue with every size's limits on pods and NICs lifted, to compare with simulations
    /// that know only CPU and memory.
    #[must_use]
    pub fn without_pod_limits(mut self) -> Self {
        for size in &mut self.sizes {
            (size.max_pods, size.nics) = (None, None);
        }
        self
    }
}
