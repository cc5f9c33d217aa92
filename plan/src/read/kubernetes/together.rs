//! Which containers of a pod may not be separated: Hostlo joins loopback TCP and UDP, and nothing else.

use super::object::{ContainerSpec, PodSpec};
use std::collections::BTreeMap;

/// Annotation of a pod: `all`, or names of containers with commas, sets of them with semicolons.
pub const ANNOTATION: &str = "nestless.io/inseparable";

/// Volumes whose content is the same on every VM, or that any number of VMs can mount.
const SHAREABLE: [&str; 9] =
    ["configMap", "secret", "downwardAPI", "projected", "nfs", "cephfs", "glusterfs", "azureFile", "image"];

/// Sets of container indices; `containers` are in the order of the plan's pod.
///
/// # Errors
/// The name in the annotation that no container has.
pub(super) fn inseparable(
    spec: &PodSpec,
    containers: &[&ContainerSpec],
    annotation: Option<&str>,
) -> Result<Vec<Vec<usize>>, String> {
    let all = || (0..containers.len()).collect::<Vec<_>>();
    let mut sets = Vec::new();
    if spec.share_process_namespace || spec.host_pid || spec.host_ipc || spec.host_network {
        sets.push(all());
    }
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
