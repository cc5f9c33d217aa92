//! Where a pod may run, in the terms of Kubernetes' scheduler: labels and taints of VM sizes, and pods that
//! seek or avoid each other. Preferences ("preferred...", ScheduleAnyway) decide no cost and are not here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Labels of a pod or of a VM size.
pub type Labels = BTreeMap<String, String>;

/// The topology key whose domains are single VMs.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// Everything that limits where one pod goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Constraints {
    /// Labels that the VM must have (`nodeSelector`).
    pub node_selector: Labels,
    /// Required node affinity: one of the terms must hold; no terms means any VM.
    pub node_affinity: Vec<Vec<Requirement>>,
    /// Taints that the pod tolerates.
    pub tolerations: Vec<Toleration>,
    /// Required pod affinity: every term needs a matching pod in the same domain.
    pub affinity: Vec<PodTerm>,
    /// Required pod anti-affinity: no term may have a matching pod in the same domain.
    pub anti_affinity: Vec<PodTerm>,
    /// Required topology spread (`whenUnsatisfiable: DoNotSchedule`).
    pub spread: Vec<Spread>,
}

impl Constraints {
    /// Whether nothing relates the pod to other pods.
    pub fn is_unary(&self) -> bool {
        self.affinity.is_empty() && self.anti_affinity.is_empty() && self.spread.is_empty()
    }

    /// Whether a VM with these labels and taints may hold the pod.
    pub fn admits(&self, labels: &Labels, taints: &[Taint]) -> bool {
        let selected = self.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        let affine = self.node_affinity.is_empty()
            || self.node_affinity.iter().any(|term| !term.is_empty() && term.iter().all(|r| r.holds(labels)));
        let hard = taints.iter().filter(|taint| taint.effect != TaintEffect::PreferNoSchedule);
        selected && affine && hard.into_iter().all(|taint| self.tolerations.iter().any(|t| t.covers(taint)))
    }
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How the value is compared.
    pub operator: Operator,
    /// What it is compared with; empty for the existence operators, one integer for `Gt` and `Lt`.
    #[serde(default)]
    pub values: Vec<String>,
}

impl Requirement {
    /// Whether `labels` satisfy it. As in Kubernetes, `NotIn` holds when the label is absent.
    pub fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let against = |compare: fn(&i64, &i64) -> bool| {
            let bound = self.values.first().and_then(|bound| bound.parse().ok());
            value.and_then(|value| value.parse().ok()).zip(bound).is_some_and(|(v, b)| compare(&v, &b))
        };
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => against(i64::gt),
            Operator::Lt => against(i64::lt),
        }
    }
}

/// How [`Requirement`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operator {
    /// The value is one of the list.
    In,
    /// The value is none of the list, or absent.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The value is an integer greater than the one given.
    Gt,
    /// The value is an integer less than the one given.
    Lt,
}

/// Which pods are meant: all requirements hold. None means every pod of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodSelector(pub Vec<Requirement>);

impl PodSelector {
    /// Whether a pod with these labels is meant.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

/// Pods that are sought or avoided, and how near.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodTerm {
    /// Which pods. A reader that knows namespaces puts them into the labels.
    pub selector: PodSelector,
    /// The label of VM sizes whose values are the domains, or [`HOSTNAME`].
    pub topology_key: String,
}

/// Matching pods are spread evenly over domains.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spread {
    /// Which pods are counted.
    pub selector: PodSelector,
    /// The label of VM sizes whose values are the domains, or [`HOSTNAME`].
    pub topology_key: String,
    /// How many more of them a domain may hold than the emptiest one; at least 1. Over [`HOSTNAME`] the
    /// emptiest is taken to hold none, since an empty VM may be bought at any time: a VM holds at most
    /// this many. That is the strictest reading, and safe in any order of placement.
    pub max_skew: u32,
}

/// A taint of a VM size.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, often empty.
    #[serde(default)]
    pub value: String,
    /// What it does to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaintEffect {
    /// New pods are kept out.
    NoSchedule,
    /// A preference, which the planner ignores.
    PreferNoSchedule,
    /// Pods are kept out and driven out.
    NoExecute,
}

/// A taint, or many, that a pod puts up with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// The taint's key; `None` is every key.
    pub key: Option<String>,
    /// The taint's value; `None` is any value (operator `Exists`).
    pub value: Option<String>,
    /// The taint's effect; `None` is every effect.
    pub effect: Option<TaintEffect>,
}

impl Toleration {
    /// Whether it tolerates `taint`.
    pub fn covers(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}
