//! The part of the Kubernetes API that decides where pods go. Fields that are not here are ignored, as the API's own
//! clients do; `null` stands for absent.

use crate::read::amount;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// An absent or `null` field is the type's default.
fn null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default, deserialize_with = "null")]
    pub(super) metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(default, deserialize_with = "null")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "null")]
    pub(super) generate_name: String,
    pub(super) namespace: Option<String>,
    #[serde(default, deserialize_with = "null")]
    pub(super) labels: BTreeMap<String, Scalar>,
    #[serde(default, deserialize_with = "null")]
    pub(super) annotations: BTreeMap<String, Scalar>,
    #[serde(default, deserialize_with = "null")]
    pub(super) owner_references: Vec<Owner>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) controller: Option<bool>,
}

/// Anything with a `spec`, beyond its [`Head`].
#[derive(Debug, Deserialize)]
pub(super) struct Object<S> {
    pub(super) spec: S,
}

#[derive(Debug, Deserialize)]
pub(super) struct PodObject {
    #[serde(default, deserialize_with = "null")]
    pub(super) metadata: Metadata,
    pub(super) spec: PodSpec,
    #[serde(default, deserialize_with = "null")]
    pub(super) status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct PodStatus {
    #[serde(default, deserialize_with = "null")]
    pub(super) phase: String,
}

/// Deployment, ReplicaSet, StatefulSet, DaemonSet.
#[derive(Debug, Deserialize)]
pub(super) struct ReplicaSpec {
    pub(super) replicas: Option<u32>,
    pub(super) template: Template,
}

#[derive(Debug, Deserialize)]
pub(super) struct JobSpec {
    pub(super) parallelism: Option<u32>,
    pub(super) completions: Option<u32>,
    pub(super) suspend: Option<bool>,
    pub(super) template: Template,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CronJobSpec {
    pub(super) suspend: Option<bool>,
    pub(super) job_template: JobTemplate,
}

#[derive(Debug, Deserialize)]
pub(super) struct JobTemplate {
    pub(super) spec: JobSpec,
}

#[derive(Debug, Deserialize)]
pub(super) struct Template {
    #[serde(default, deserialize_with = "null")]
    pub(super) metadata: Metadata,
    pub(super) spec: PodSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) containers: Vec<ContainerSpec>,
    /// Where the pod runs, once it has been scheduled.
    pub(super) node_name: Option<String>,
    #[serde(default, deserialize_with = "null")]
    pub(super) init_containers: Vec<ContainerSpec>,
    #[serde(default, deserialize_with = "null")]
    pub(super) node_selector: BTreeMap<String, Scalar>,
    #[serde(default, deserialize_with = "null")]
    pub(super) affinity: Affinity,
    #[serde(default, deserialize_with = "null")]
    pub(super) tolerations: Vec<TolerationSpec>,
    #[serde(default, deserialize_with = "null")]
    pub(super) topology_spread_constraints: Vec<SpreadSpec>,
    #[serde(default, deserialize_with = "null", rename = "hostIPC")]
    pub(super) host_ipc: bool,
    #[serde(default, deserialize_with = "null", rename = "hostPID")]
    pub(super) host_pid: bool,
    #[serde(default, deserialize_with = "null")]
    pub(super) host_network: bool,
    #[serde(default, deserialize_with = "null")]
    pub(super) share_process_namespace: bool,
    #[serde(default, deserialize_with = "null")]
    pub(super) volumes: Vec<Volume>,
    #[serde(default, deserialize_with = "null")]
    pub(super) overhead: BTreeMap<String, Amount>,
    pub(super) resources: Option<ResourceSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerSpec {
    pub(super) name: String,
    #[serde(default, deserialize_with = "null")]
    pub(super) resources: ResourceSpec,
    #[serde(default, deserialize_with = "null")]
    pub(super) volume_mounts: Vec<Mount>,
    #[serde(default, deserialize_with = "null")]
    pub(super) volume_devices: Vec<Mount>,
    pub(super) restart_policy: Option<String>,
    #[serde(default, deserialize_with = "null")]
    pub(super) security_context: SecurityContext,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct SecurityContext {
    #[serde(default, deserialize_with = "null")]
    pub(super) privileged: bool,
    #[serde(default, deserialize_with = "null")]
    pub(super) capabilities: Capabilities,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Capabilities {
    #[serde(default, deserialize_with = "null")]
    pub(super) add: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ResourceSpec {
    #[serde(default, deserialize_with = "null")]
    pub(super) requests: BTreeMap<String, Amount>,
    #[serde(default, deserialize_with = "null")]
    pub(super) limits: BTreeMap<String, Amount>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Mount {
    pub(super) name: String,
}

/// A volume: its name, and one other field that is named after its kind.
#[derive(Debug, Deserialize)]
pub(super) struct Volume {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) source: BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Affinity {
    #[serde(default, deserialize_with = "null")]
    pub(super) node_affinity: NodeAffinity,
    #[serde(default, deserialize_with = "null")]
    pub(super) pod_affinity: PodAffinity,
    #[serde(default, deserialize_with = "null")]
    pub(super) pod_anti_affinity: PodAffinity,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeAffinity {
    pub(super) required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeSelector {
    pub(super) node_selector_terms: Vec<NodeTerm>,
}

impl NodeSelector {
    /// Drops what names single nodes: the controller of a DaemonSet ties each of its pods to a node so.
    pub(super) fn forget_nodes(&mut self) {
        self.node_selector_terms.iter_mut().for_each(|term| term.match_fields.clear());
        // A term without conditions means no node to the API, and here every node that is left.
        if self.node_selector_terms.iter().any(|term| term.match_expressions.is_empty()) {
            self.node_selector_terms.clear();
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeTerm {
    #[serde(default, deserialize_with = "null")]
    pub(super) match_expressions: Vec<Expression>,
    #[serde(default, deserialize_with = "null")]
    pub(super) match_fields: Vec<Expression>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodAffinity {
    #[serde(default, deserialize_with = "null")]
    pub(super) required_during_scheduling_ignored_during_execution: Vec<AffinityTerm>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AffinityTerm {
    pub(super) label_selector: Option<LabelSelector>,
    #[serde(default, deserialize_with = "null")]
    pub(super) namespaces: Vec<String>,
    pub(super) namespace_selector: Option<LabelSelector>,
    pub(super) topology_key: String,
    #[serde(default, deserialize_with = "null")]
    pub(super) match_label_keys: Vec<String>,
    #[serde(default, deserialize_with = "null")]
    pub(super) mismatch_label_keys: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LabelSelector {
    #[serde(default, deserialize_with = "null")]
    pub(super) match_labels: BTreeMap<String, Scalar>,
    #[serde(default, deserialize_with = "null")]
    pub(super) match_expressions: Vec<Expression>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Expression {
    pub(super) key: String,
    pub(super) operator: nestless_placement::constraint::Operator,
    #[serde(default, deserialize_with = "null")]
    pub(super) values: Vec<Scalar>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TolerationSpec {
    pub(super) key: Option<String>,
    pub(super) operator: Option<String>,
    pub(super) value: Option<Scalar>,
    pub(super) effect: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpreadSpec {
    pub(super) max_skew: std::num::NonZeroU32,
    pub(super) topology_key: String,
    pub(super) when_unsatisfiable: String,
    pub(super) label_selector: Option<LabelSelector>,
    #[serde(default, deserialize_with = "null")]
    pub(super) match_label_keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct NodeObject {
    #[serde(default, deserialize_with = "null")]
    pub(super) metadata: Metadata,
    #[serde(default, deserialize_with = "null")]
    pub(super) spec: NodeSpec,
    #[serde(default, deserialize_with = "null")]
    pub(super) status: NodeStatus,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct NodeSpec {
    #[serde(default, deserialize_with = "null")]
    pub(super) taints: Vec<nestless_placement::constraint::Taint>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct NodeStatus {
    #[serde(default, deserialize_with = "null")]
    pub(super) capacity: BTreeMap<String, Amount>,
    #[serde(default, deserialize_with = "null")]
    pub(super) allocatable: BTreeMap<String, Amount>,
}

/// A label's value. YAML writers forget quotes (`version: 1.0`, `ready: true`), which the API would refuse.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scalar(pub(super) String);

/// A quantity's text, checked where it stands, so that the error knows its line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Amount(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(ScalarVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = input.deserialize_any(ScalarVisitor)?;
        amount::nonnegative(&text).map_err(D::Error::custom)?;
        Ok(Self(text))
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok(String::new())
    }
}
