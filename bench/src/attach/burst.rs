//! Many pods at once, as when a node comes back.

use super::plugin::{Plugin, calls, milliseconds};
use crate::{
    metric::{Recorder, Unit},
    operator::Operator,
};
use nestless_lab::{Exec, Lab, Vm};

/// Pods of a burst, which is the size of the warm pool too.
pub(super) const BURST: u32 = 8;

/// Connects as many pods at once and disconnects them; how many got a NIC that was spare before.
pub(super) async fn measure(
    lab: &Lab,
    vm: &Vm,
    operator: &Operator,
    plugin: Plugin,
    recorder: &mut Recorder,
) -> anyhow::Result<usize> {
    let name = vm.name().as_str();
    let spare = operator.settled(name, BURST as usize).await?;
    let client = vm.client().await?;
    let pods: Vec<_> = (0..BURST).map(|number| format!("{}-burst{number}", plugin.side())).collect();
    for pod in &pods {
        client.add_namespace(pod).await?;
    }
    let all = |command: &str| -> Vec<Exec> {
        pods.iter().map(|pod| plugin.call(lab.state().vmm, command, pod)).collect()
    };
    let took = calls(vm, &all("ADD")).await?;
    recorder.keep("burst", Unit::Milliseconds, plugin.side(), milliseconds(took));
    let mut warm = 0;
    if plugin == Plugin::Warm {
        // Agents confirm a NIC after ADD has answered; until then it is not in use.
        operator.settled(name, 0).await?;
        warm = operator.in_use(name).await?.intersection(&spare).count();
    }
    calls(vm, &all("DEL")).await?;
    for pod in &pods {
        client.remove_namespace(pod).await?;
    }
    Ok(warm)
}
