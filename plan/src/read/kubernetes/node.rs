//! Nodes of today.

use super::demand;
use super::document::Document;
use super::object::{Amount, NodeObject};
use crate::read::amount;
use crate::read::fault::Fault;
use nestless_placement::Resources;
use nestless_placement::constraint::{Labels, Taint};
use std::collections::BTreeMap;

/// A node as it is today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Label `node.kubernetes.io/instance-type`, which names a size of a catalogue.
    pub instance_type: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// Taints.
    pub taints: Vec<Taint>,
    /// All that it has.
    pub capacity: Resources,
    /// What pods can have.
    pub allocatable: Resources,
    /// What of it static pods take.
    pub fixed: Resources,
    /// How many these are.
    pub fixed_pods: u32,
    /// The most pods.
    pub max_pods: Option<u32>,
}

impl Node {
    /// # Errors
    /// When the document is no node, or an amount of it is none.
    pub(super) fn read(document: &Document) -> Result<Self, Fault> {
        let NodeObject { metadata, spec, status } = document.parse()?;
        let labels = demand::labels(&metadata.labels);
        let of = |map: &BTreeMap<String, Amount>, field: &'static str| -> Result<Resources, Fault> {
            let get = |name| map.get(name).map_or("0", |amount: &Amount| amount.0.as_str());
            let bad = |problem| document.bad(field, problem);
            Ok(Resources {
                cpu_milli: amount::cpu_milli(get("cpu")).map_err(bad)?,
                memory_bytes: amount::memory_bytes(get("memory")).map_err(bad)?,
            })
        };
        Ok(Self {
            instance_type: labels.get("node.kubernetes.io/instance-type").cloned(),
            capacity: of(&status.capacity, "status.capacity")?,
            allocatable: of(&status.allocatable, "status.allocatable")?,
            fixed: Resources::ZERO,
            fixed_pods: 0,
            max_pods: status.allocatable.get("pods").and_then(|pods| pods.0.parse().ok()),
            name: metadata.name,
            labels,
            taints: spec.taints,
        })
    }
}
