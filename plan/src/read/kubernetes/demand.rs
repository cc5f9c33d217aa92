//! Where a pod may run: Kubernetes' selectors, affinity, tolerations and spread in the planner's words.

use super::object::{
    Affinity, AffinityTerm, Expression, LabelSelector, PodSpec, Scalar, SpreadSpec, TolerationSpec,
};
use nestless_placement::Constraints;
use nestless_placement::constraint::{
    Labels, Operator, PodSelector, PodTerm, Requirement, Spread, TaintEffect, Toleration,
};
use std::collections::BTreeMap;

/// The label that stands for a pod's namespace, since selectors are read within namespaces. Namespaces themselves have it.
pub const NAMESPACE: &str = "kubernetes.io/metadata.name";

/// A field, and what the planner cannot take in it.
pub(super) type Refused = (&'static str, String);

pub(super) fn labels(map: &BTreeMap<String, Scalar>) -> Labels {
    map.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

/// `own` are the pod's labels, the namespace among them.
pub(super) fn constraints(spec: &PodSpec, own: &Labels, namespace: &str) -> Result<Constraints, Refused> {
    Ok(Constraints {
        node_selector: labels(&spec.node_selector),
        node_affinity: node_affinity(&spec.affinity)?,
        tolerations: spec.tolerations.iter().map(toleration).collect::<Result<_, _>>()?,
        affinity: terms(
            &spec.affinity.pod_affinity.required_during_scheduling_ignored_during_execution,
            own,
            namespace,
        )?,
        anti_affinity: terms(
            &spec.affinity.pod_anti_affinity.required_during_scheduling_ignored_during_execution,
            own,
            namespace,
        )?,
        spread: spreads(&spec.topology_spread_constraints, own, namespace),
    })
}

fn node_affinity(affinity: &Affinity) -> Result<Vec<Vec<Requirement>>, Refused> {
    let Some(selector) = &affinity.node_affinity.required_during_scheduling_ignored_during_execution else {
        return Ok(Vec::new());
    };
    let term = |term: &super::object::NodeTerm| {
        if !term.match_fields.is_empty() {
            let message = "matchFields names single nodes, which a plan does not have yet; select by label";
            return Err(("spec.affinity.nodeAffinity", message.to_owned()));
        }
        Ok(term.match_expressions.iter().map(requirement).collect())
    };
    selector.node_selector_terms.iter().map(term).collect()
}

fn requirement(expression: &Expression) -> Requirement {
    Requirement {
        key: expression.key.clone(),
        operator: expression.operator,
        values: expression.values.iter().map(|value| value.0.clone()).collect(),
    }
}

fn is_in(key: &str, values: impl IntoIterator<Item = String>, operator: Operator) -> Requirement {
    Requirement { key: key.to_owned(), operator, values: values.into_iter().collect() }
}

fn toleration(spec: &TolerationSpec) -> Result<Toleration, Refused> {
    let effect = match spec.effect.as_deref() {
        None | Some("") => None,
        Some("NoSchedule") => Some(TaintEffect::NoSchedule),
        Some("PreferNoSchedule") => Some(TaintEffect::PreferNoSchedule),
        Some("NoExecute") => Some(TaintEffect::NoExecute),
        Some(other) => return Err(("spec.tolerations", format!("{other:?} is not a taint effect"))),
    };
    let value = match spec.operator.as_deref() {
        Some("Exists") => None,
        None | Some("" | "Equal") => Some(spec.value.clone().unwrap_or_default().0),
        Some(other) => return Err(("spec.tolerations", format!("{other:?} is neither Equal nor Exists"))),
    };
    Ok(Toleration { key: spec.key.clone().filter(|key| !key.is_empty()), value, effect })
}

fn selector(spec: &LabelSelector) -> Vec<Requirement> {
    let exact = spec.match_labels.iter().map(|(key, value)| is_in(key, [value.0.clone()], Operator::In));
    exact.chain(spec.match_expressions.iter().map(requirement)).collect()
}

/// The pod's own values of `keys`, which the pods meant must have (or must not, with `NotIn`).
fn own_values<'a>(
    keys: &'a [String],
    own: &'a Labels,
    operator: Operator,
) -> impl Iterator<Item = Requirement> + 'a {
    keys.iter().filter_map(move |key| own.get(key).map(|value| is_in(key, [value.clone()], operator)))
}

fn terms(specs: &[AffinityTerm], own: &Labels, namespace: &str) -> Result<Vec<PodTerm>, Refused> {
    specs.iter().map(|spec| term(spec, own, namespace)).collect()
}

fn term(spec: &AffinityTerm, own: &Labels, namespace: &str) -> Result<PodTerm, Refused> {
    let Some(pods) = &spec.label_selector else {
        let message = "a term without labelSelector means no pod at all; write {} for every pod";
        return Err(("spec.affinity", message.to_owned()));
    };
    let mut requirements = selector(pods);
    requirements.extend(own_values(&spec.match_label_keys, own, Operator::In));
    requirements.extend(own_values(&spec.mismatch_label_keys, own, Operator::NotIn));
    match &spec.namespace_selector {
        Some(all) if all.match_labels.is_empty() && all.match_expressions.is_empty() => {}
        Some(_) => {
            let message =
                "namespaceSelector needs the labels of namespaces; write namespaces by name, or {} for all";
            return Err(("spec.affinity", message.to_owned()));
        }
        None if spec.namespaces.is_empty() => {
            requirements.push(is_in(NAMESPACE, [namespace.to_owned()], Operator::In));
        }
        None => requirements.push(is_in(NAMESPACE, spec.namespaces.iter().cloned(), Operator::In)),
    }
    Ok(PodTerm { selector: PodSelector(requirements), topology_key: spec.topology_key.clone() })
}

/// A spread without labelSelector counts no pods, and so demands nothing.
fn spreads(specs: &[SpreadSpec], own: &Labels, namespace: &str) -> Vec<Spread> {
    let hard = specs.iter().filter(|spec| spec.when_unsatisfiable == "DoNotSchedule");
    let spread = |spec: &SpreadSpec| {
        let mut requirements = selector(spec.label_selector.as_ref()?);
        requirements.extend(own_values(&spec.match_label_keys, own, Operator::In));
        requirements.push(is_in(NAMESPACE, [namespace.to_owned()], Operator::In));
        Some(Spread {
            selector: PodSelector(requirements),
            topology_key: spec.topology_key.clone(),
            max_skew: spec.max_skew.get(),
        })
    };
    hard.filter_map(spread).collect()
}
