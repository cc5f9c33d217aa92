//! What can be bought: the built-in price lists, and the user's own.

mod builtin;
mod file;
mod reserve;

pub use builtin::{builtin, known_price, names};
pub use file::{read_csv, read_toml};
pub use reserve::Reserve;

use crate::read::Problem;
use nestless_placement::{Catalogue, HostModel, PlacementError, Pod, Price, Resources, VmSize};
use std::sync::Arc;

/// A price list: sizes, and where their figures come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The name the user chose it by: `m5`, or a file's path.
    pub name: String,
    /// "aws", "gcp", "azure", or empty for the user's own.
    pub provider: String,
    /// Where the prices hold.
    pub region: String,
    /// When they were read.
    pub as_of: String,
    /// Where they were read.
    pub source: String,
    /// The sizes.
    pub sizes: Vec<VmSize>,
    /// The physical machines of a private cloud.
    pub hosts: Option<Hosts>,
}

/// The physical machines of a private cloud, all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// How many there are; `None` is as many as are needed.
    pub count: Option<u32>,
    /// What VMs can have of one.
    pub size: Resources,
    /// Of one, an hour.
    pub price: Option<Price>,
}

/// Why a price list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Neither a built-in name nor a file.
    #[error("no catalogue is named {name}: use a file ending in .toml or .csv, or one of {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The built-in ones.
        known: String,
    },
    /// Not TOML, or not with these keys.
    #[error("{file} is no catalogue")]
    Toml {
        /// The file.
        file: Arc<str>,
        /// Line and column included.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Not CSV, or not with these columns.
    #[error("{file}, line {line}")]
    Csv {
        /// The file.
        file: Arc<str>,
        /// From 1.
        line: u64,
        /// What is wrong.
        #[source]
        source: Box<csv::Error>,
    },
    /// A figure that cannot be.
    #[error("{file}: {field} of size {size}")]
    Figure {
        /// The file.
        file: Arc<str>,
        /// Which size.
        size: String,
        /// Which of its figures.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: Problem,
    },
    /// The sizes do not make a catalogue.
    #[error("{name} cannot be planned with")]
    Unusable {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: PlacementError,
    },
}

/// The label of nodes whose values are a cloud's zones.
pub const ZONE: &str = "topology.kubernetes.io/zone";

impl Offer {
    /// The same sizes with the labels that nodes of such VMs have, as far as a price list tells: operating system, instance
    /// type and, for those that are built in, the processor. With `zones`, every size is there once in each zone.
    #[must_use]
    pub fn with_node_labels(mut self, zones: &[String]) -> Self {
        let is_builtin = !self.provider.is_empty();
        for size in &mut self.sizes {
            let mut add = |key: &str, value: &str| {
                size.labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
            };
            add("kubernetes.io/os", "linux");
            add("node.kubernetes.io/instance-type", &size.name);
            if is_builtin {
                add("kubernetes.io/arch", "amd64");
            }
        }
        if !zones.is_empty() {
            let sizes = std::mem::take(&mut self.sizes);
            let in_zones = |size: VmSize| {
                zones.iter().map(move |zone| {
                    let mut size = size.clone();
                    size.name = format!("{} in {zone}", size.name);
                    size.labels.insert(ZONE.to_owned(), zone.clone());
                    size
                })
            };
            self.sizes = sizes.into_iter().flat_map(in_zones).collect();
        }
        self
    }

    /// What the planner buys from: `reserve` and the `daemons` that a size admits are kept back on every VM.
    ///
    /// # Errors
    /// When there is no size, one is there twice, or one has no room left.
    pub fn catalogue(&self, reserve: Reserve, daemons: &[Pod]) -> Result<Catalogue, CatalogueError> {
        let sizes = self.sizes.iter().map(|size| {
            let mut size = size.clone();
            size.reserved += reserve.of(&size);
            for daemon in
                daemons.iter().filter(|daemon| daemon.constraints.admits(&size.labels, &size.taints))
            {
                size.reserved += daemon.request();
                size.max_pods = size.max_pods.map(|most| most.saturating_sub(1));
                size.nics = size.nics.map(|most| most.saturating_sub(daemon.nics));
            }
            size
        });
        Catalogue::new(sizes.collect())
            .map_err(|source| CatalogueError::Unusable { name: self.name.clone(), source })
    }

    /// What is known of the machines below the VMs.
    pub fn host_model(&self) -> HostModel {
        self.hosts.map_or(HostModel::OnePerClient, |hosts| HostModel::Sized(hosts.size))
    }
}
