//! Which containers of a pod may not be separated: Hostlo joins loopback TCP and UDP, and nothing else.

use super::object::{ContainerSpec, PodSpec, Scalar};
use std::collections::BTreeMap;

/// Annotation of a pod: `all`, or names of containers with commas, sets of them with semicolons.
pub const ANNOTATION: &str = "nestless.io/inseparable";

/// Volumes whose content is the same on every VM, or that any number of VMs can mount.
const SHAREABLE: [&str; 9] =
    ["configMap", "secret", "downwardAPI", "projected", "nfs", "cephfs", "glusterfs", "azureFile", "image"];

/// Annotations of pods whose traffic a service mesh leads to its proxy, and, where it matters, what they say: by now, or when
/// they are made.
const MESHED: [(&str, Option<&str>); 6] = [
    ("sidecar.istio.io/status", None),
    ("sidecar.istio.io/inject", Some("true")),
    ("linkerd.io/proxy-version", None),
    ("linkerd.io/inject", Some("enabled")),
    ("kuma.io/sidecar-injected", Some("true")),
    ("kuma.io/sidecar-injection", Some("enabled")),
];

/// Sets of container indices; `containers` are in the order of the plan's pod.
///
/// # Errors
/// The name in the annotation that no container has.
pub(super) fn inseparable(
    spec: &PodSpec,
    containers: &[&ContainerSpec],
    annotations: &BTreeMap<String, Scalar>,
) -> Result<Vec<Vec<usize>>, String> {
    let all = || (0..containers.len()).collect::<Vec<_>>();
    let mut sets = Vec::new();
    if spec.share_process_namespace || spec.host_pid || spec.host_ipc || spec.host_network {
        sets.push(all());
    }
    if is_meshed(annotations) || spec.init_containers.iter().any(changes_the_network) {
        sets.push(all());
    }
    let annotation = annotations.get(ANNOTATION).map(|value| value.0.as_str());
    sets.extend(by_volume(spec, containers));
    for set in annotation.unwrap_or_default().split(';').map(str::trim).filter(|set| !set.is_empty()) {
        if set == "all" {
            sets.push(all());
            continue;
        }
        let index = |name: &str| {
            let found = containers.iter().position(|container| container.name == name.trim());
            found.ok_or_else(|| name.trim().to_owned())
        };
        sets.push(set.split(',').map(index).collect::<Result<_, _>>()?);
    }
    sets.iter_mut().for_each(|set| {
        set.sort_unstable();
        set.dedup();
    });
    sets.retain(|set| set.len() > 1);
    sets.sort();
    sets.dedup();
    Ok(sets)
}

/// A proxy gets what its own kernel has led to it, and asks that kernel where it was to go.
fn is_meshed(annotations: &BTreeMap<String, Scalar>) -> bool {
    MESHED.iter().any(|(name, wanted)| {
        annotations.get(*name).is_some_and(|value| wanted.is_none_or(|wanted| value.0 == wanted))
    })
}

/// An init container that may, as those do that set up a mesh's rules: they hold for one sandbox.
fn changes_the_network(init: &ContainerSpec) -> bool {
    let context = &init.security_context;
    let may = |name: &String| matches!(name.trim_start_matches("CAP_"), "NET_ADMIN" | "ALL");
    context.privileged || context.capabilities.add.iter().any(may)
}

/// Containers that mount the same volume, where only one VM could have it. A volume that the pod does not list comes from
/// a StatefulSet's claim template, and is as private.
fn by_volume(spec: &PodSpec, containers: &[&ContainerSpec]) -> Vec<Vec<usize>> {
    let shareable = |name: &str| {
        let volume = spec.volumes.iter().find(|volume| volume.name == name);
        volume.is_some_and(|volume| volume.source.keys().any(|kind| SHAREABLE.contains(&kind.as_str())))
    };
    let mut mounts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, container) in containers.iter().enumerate() {
        for mount in container.volume_mounts.iter().chain(&container.volume_devices) {
            if !shareable(&mount.name) {
                mounts.entry(&mount.name).or_default().push(index);
            }
        }
    }
    mounts.into_values().collect()
}
