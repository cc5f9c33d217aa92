//! Many pods at once, as when a node comes back.

use super::plugin::{Plugin, calls, milliseconds};
use crate::{
    metric::{Recorder, Unit},
    operator::Operator,
};
use nestless_lab::{Exec, Lab, Vmm};

const METRIC: &str = "burst";

/// Connects `size` pods at once and disconnects them; how many got a NIC that was spare before.
pub(super) async fn warm(
    lab: &Lab,
    vm: &str,
    operator: &Operator,
    size: usize,
    recorder: &mut Recorder,
) -> anyhow::Result<u64> {
    let spare = operator.settled(vm, size).await?;
    let pods = make(lab, vm, Plugin::Warm, size).await?;
    let took = calls(lab.vm(vm)?, &all(Plugin::Warm, Vmm::Qemu, "ADD", &pods)).await?;
    recorder.keep(METRIC, Unit::Milliseconds, Plugin::Warm.side(), milliseconds(took));
    // Agents confirm a NIC after ADD has answered; until then it is not in use.
    operator.settled(vm, 0).await?;
    let warm = operator.in_use(vm).await?.intersection(&spare).count();
    calls(lab.vm(vm)?, &all(Plugin::Warm, Vmm::Qemu, "DEL", &pods)).await?;
    remove(lab, vm, &pods).await?;
    Ok(u64::try_from(warm)?)
}

/// The same by the reference plugin.
pub(super) async fn reference(
    lab: &Lab,
    vm: &str,
    vmm: Vmm,
    size: usize,
    recorder: &mut Recorder,
) -> anyhow::Result<()> {
    let pods = make(lab, vm, Plugin::Reference, size).await?;
    let took = calls(lab.vm(vm)?, &all(Plugin::Reference, vmm, "ADD", &pods)).await?;
    recorder.keep(METRIC, Unit::Milliseconds, Plugin::Reference.side(), milliseconds(took));
    calls(lab.vm(vm)?, &all(Plugin::Reference, vmm, "DEL", &pods)).await?;
    remove(lab, vm, &pods).await
}

fn all(plugin: Plugin, vmm: Vmm, command: &str, pods: &[String]) -> Vec<Exec> {
    pods.iter().map(|pod| plugin.call(vmm, command, pod)).collect()
}

async fn make(lab: &Lab, vm: &str, plugin: Plugin, size: usize) -> anyhow::Result<Vec<String>> {
    let client = lab.vm(vm)?.client().await?;
    let pods: Vec<_> = (0..size).map(|number| format!("{}-burst{number}", plugin.side())).collect();
    for pod in &pods {
        client.add_namespace(pod).await?;
    }
    Ok(pods)
}

async fn remove(lab: &Lab, vm: &str, pods: &[String]) -> anyhow::Result<()> {
    let client = lab.vm(vm)?.client().await?;
    for pod in pods {
        client.remove_namespace(pod).await?;
    }
    Ok(())
}
