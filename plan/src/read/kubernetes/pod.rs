//! From a pod's specification to the planner's pod.

use super::demand;
use super::document::Document;
use super::object::{Amount, ContainerSpec, Metadata, PodSpec, ResourceSpec};
use super::together;
use crate::read::amount;
use crate::read::fault::{Fault, Ledger, Problem};
use nestless_placement::{Container, ContainerKind, Pod, Resources};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn namespace(metadata: &Metadata) -> String {
    metadata.namespace.clone().unwrap_or_else(|| "default".to_owned())
}

/// `name` is the pod's own, without the namespace.
///
/// # Errors
/// When the pod demands what a plan cannot promise, or asks for more than is believed.
pub(super) fn planned(
    document: &Document,
    name: &str,
    namespace: &str,
    metadata: &Metadata,
    spec: &PodSpec,
    ledger: &mut Ledger,
) -> Result<Pod, Fault> {
    let specs: Vec<&ContainerSpec> = spec.init_containers.iter().chain(&spec.containers).collect();
    if spec.containers.is_empty() {
        return Err(document.unsupported("spec.containers", "a pod needs at least one container"));
    }
    let mut labels = demand::labels(&metadata.labels);
    labels.insert(demand::NAMESPACE.to_owned(), namespace.to_owned());
    let constraints = demand::constraints(spec, &labels, namespace)
        .map_err(|(field, message)| document.unsupported(field, message))?;
    let inseparable = together::inseparable(spec, &specs, &metadata.annotations).map_err(|name| {
        document.unsupported(
            format!("metadata.annotations[{}]", together::ANNOTATION),
            format!(
                "no container is named {name:?}; write all, or names with commas and sets with semicolons"
            ),
        )
    })?;
    let containers = specs
        .iter()
        .enumerate()
        .map(|(index, container)| planned_container(document, spec, index, container, ledger));
    let mut pod = Pod {
        name: format!("{namespace}/{name}"),
        labels,
        containers: containers.collect::<Result<_, _>>()?,
        inseparable,
        overhead: resources(document, "spec.overhead", &spec.overhead, None, ledger)?,
        nics: u32::from(!spec.host_network),
        constraints,
    };
    if let Some(whole) = &spec.resources {
        reserve_for_the_pod(document, &mut pod, whole, ledger)?;
    }
    Ok(pod)
}

fn planned_container(
    document: &Document,
    spec: &PodSpec,
    index: usize,
    container: &ContainerSpec,
    ledger: &mut Ledger,
) -> Result<Container, Fault> {
    let init = spec.init_containers.len();
    let (list, place) = if index < init { ("initContainers", index) } else { ("containers", index - init) };
    let field = format!("spec.{list}[{place}].resources");
    let ResourceSpec { requests, limits } = &container.resources;
    let kind = match (index < init, container.restart_policy.as_deref()) {
        (true, Some("Always")) => ContainerKind::Sidecar,
        (true, _) => ContainerKind::Init,
        (false, _) => ContainerKind::App,
    };
    let request = resources(document, &field, requests, Some(limits), ledger)?;
    Ok(Container { name: container.name.clone(), request, kind })
}

/// A request that is absent is the limit, as the API server sets it. What is neither CPU nor memory is counted.
fn resources(
    document: &Document,
    field: &str,
    requests: &BTreeMap<String, Amount>,
    limits: Option<&BTreeMap<String, Amount>>,
    ledger: &mut Ledger,
) -> Result<Resources, Fault> {
    let get = |name: &str| requests.get(name).or_else(|| limits?.get(name)).map(|amount| amount.0.as_str());
    let at = |name: &str, problem: Problem| document.bad(format!("{field}.requests.{name}"), problem);
    let names: BTreeSet<&String> =
        requests.keys().chain(limits.into_iter().flat_map(BTreeMap::keys)).collect();
    names.into_iter().filter(|name| *name != "cpu" && *name != "memory").for_each(|name| ledger.ignore(name));
    Ok(Resources {
        cpu_milli: get("cpu").map_or(Ok(0), amount::cpu_milli).map_err(|problem| at("cpu", problem))?,
        memory_bytes: get("memory")
            .map_or(Ok(0), amount::memory_bytes)
            .map_err(|problem| at("memory", problem))?,
    })
}

/// Requests of the pod as a whole (pod-level resources) beyond those of its containers become overhead; such a pod stays
/// in one piece, since nobody said how they would be divided.
fn reserve_for_the_pod(
    document: &Document,
    pod: &mut Pod,
    whole: &ResourceSpec,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let wanted = resources(document, "spec.resources", &whole.requests, Some(&whole.limits), ledger)?;
    let more = wanted.saturating_sub(pod.request_of(0..pod.containers.len()));
    if !more.is_zero() {
        pod.overhead += more;
        pod.inseparable = vec![(0..pod.containers.len()).collect()];
    }
    Ok(())
}
