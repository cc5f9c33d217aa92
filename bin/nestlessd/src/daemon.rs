//! Puts the parts together: ledger, fabric, guard, and a task per VM.

use crate::{agents::Agents, allowance::Allowances, config::Config};
use anyhow::{Context as _, anyhow};
use nestless_host::{
    fabric::Fabric,
    guard::Guard,
    host_ends::KernelHostEnds,
    hypervisor::BackEnds,
    ledger::{Ledger, LedgerError},
    loopback::Loopback,
    vm::{self, HostEnds, Pools, VmConfig, VmHandle},
};
use nestless_model::{
    attachment::NicRecord,
    identity::{NicId, VmName},
};
use nestless_support::netlink::{LinkEvent, LinkMonitor};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};
use tokio::{sync::Notify, task::JoinSet, time::Duration};
use tracing::{error, info, warn};

/// How often bridges and addresses are compared with the configuration.
const FABRIC_PERIOD: Duration = Duration::from_secs(30);

/// What the services work with.
pub(crate) struct Host {
    pub(crate) pools: Arc<Pools>,
    pub(crate) host_ends: Arc<KernelHostEnds>,
    pub(crate) vms: BTreeMap<VmName, VmHandle>,
    pub(crate) limits: BTreeMap<VmName, nestless_model::attachment::Limits>,
    pub(crate) started: Instant,
    pub(crate) agents: Agents,
    pub(crate) allowances: Allowances,
}

/// The running daemon.
pub(crate) struct Daemon {
    host: Arc<Host>,
    tasks: JoinSet<anyhow::Error>,
}

impl Daemon {
    /// Starts everything; returns when the world and the ledger have been compared once.
    pub(crate) async fn start(config: &Config) -> anyhow::Result<Self> {
        let ledger = Ledger::open(&config.state_dir.join("ledger.redb"))?;
        let contents = ledger.read()?;
        let host_ends = Arc::new(open_host_ends(config).await?);
        host_ends.restore(&contents.nics).context("give loopback groups their members back")?;
        let host_id = config.host_id.unwrap_or_else(|| host_id(Path::new("/etc/machine-id")));
        let pools = Pools::new(ledger, host_id, config.networks.clone(), config.tenants(), &contents)
            .with_macs(config.macs());
        let pools = Arc::new(pools);
        contents.nics.iter().for_each(|record| warn_of_mtu(record, &pools));
        let mut remembered = contents.by_vm();
        let (mut tasks, mut back_ends) = (JoinSet::new(), BackEnds::default());
        let (mut vms, mut limits, mut looking) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for vm in &config.vms {
            let connected =
                back_ends.connect(&vm.name, &vm.hypervisor).with_context(|| format!("VM {}", vm.name))?;
            let vm_config = VmConfig { name: vm.name.clone(), limits: config.limits(vm), queues: vm.queues };
            limits.insert(vm.name.clone(), vm_config.limits.clone());
            let (handle, looked, task) = vm::spawn(
                vm_config,
                connected,
                Arc::clone(&host_ends) as Arc<dyn HostEnds>,
                Arc::clone(&pools),
                remembered.remove(&vm.name).unwrap_or_default(),
            );
            let name = vm.name.clone();
            tasks.spawn(async move { ended(&name, task.await) });
            vms.insert(vm.name.clone(), handle);
            looking.push(looked);
        }
        let mut departed = Vec::new();
        for (vm, remembered) in remembered {
            if !remembered.nics.is_empty() {
                warn!(%vm, nics = remembered.nics.len(), "the ledger has NICs of a VM that the configuration has no more: they keep their addresses until the VM ends");
            }
            pools.unreserve_departed(&vm, &remembered).await?;
            departed.extend(remembered.nics);
        }
        for looked in looking {
            // A task that ended before its first look is reported through `failure`.
            let _ = looked.await;
        }
        pools.forget_strangers()?;
        let departed = settle_departed(&host_ends, &pools, departed).await?;
        let gone = Arc::new(Notify::new());
        tasks.spawn(keep_up(Arc::clone(&host_ends), Arc::clone(&pools), departed, Arc::clone(&gone)));
        tasks.spawn(notice_departures(Arc::clone(&host_ends), gone));
        let allowances = Allowances::new(vms.keys());
        let (started, agents) = (Instant::now(), Agents::default());
        let host = Host { pools, host_ends, vms, limits, started, agents, allowances };
        Ok(Self { host: Arc::new(host), tasks })
    }

    pub(crate) fn host(&self) -> Arc<Host> {
        Arc::clone(&self.host)
    }

    /// Waits for something that the daemon cannot live without to fail.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(error)) => error,
            Some(Err(panic)) => anyhow!(panic).context("a task panicked"),
            None => std::future::pending().await,
        }
    }

    /// Lets running steps end. NICs stay as they are.
    pub(crate) async fn stop(mut self) {
        for handle in self.host.vms.values() {
            handle.stop().await;
        }
        self.tasks.shutdown().await;
    }
}

/// A pod that lives keeps what it was given; only its end can change that.
fn warn_of_mtu(record: &NicRecord, pools: &Pools) {
    let (Some(attachment), Some(network)) = (record.attachment(), pools.network(&record.network)) else {
        return;
    };
    if record.mtu.bytes() > network.mtu.bytes() {
        warn!(vm = %record.vm, pod = %attachment.id, network = %network.name, pod_mtu_bytes = record.mtu.bytes(),
            mtu_bytes = network.mtu.bytes(), "the network's MTU is now less than this pod's: its larger packets are lost until the pod is made anew");
    }
}

async fn open_host_ends(config: &Config) -> anyhow::Result<KernelHostEnds> {
    let fabric = Fabric::new(&config.instance(), config.networks.clone())?;
    let steps = fabric.up().await.context("set up the fabric")?;
    for step in steps {
        info!("fabric: {step}");
    }
    let guard = Guard::open(&config.pin_dir.join("guard")).context("load the guard")?;
    let loopback = Loopback::open(&config.pin_dir.join("loopback")).context("load the reflector")?;
    Ok(KernelHostEnds::new(fabric, guard, loopback))
}

fn ended(vm: &VmName, result: Result<Result<(), LedgerError>, tokio::task::JoinError>) -> anyhow::Error {
    match result {
        Ok(Ok(())) => anyhow!("the task of VM {vm} has stopped"),
        Ok(Err(error)) => anyhow::Error::new(error)
            .context(format!("VM {vm}: the ledger failed, so nothing can be promised")),
        Err(panic) => anyhow!(panic).context(format!("the task of VM {vm} panicked")),
    }
}

/// Mends the fabric and frees rested addresses, for ever. What VMs held that are configured no more is settled as soon as
/// their host ends are gone: a fraction's name may be wanted elsewhere.
async fn keep_up(
    host_ends: Arc<KernelHostEnds>,
    pools: Arc<Pools>,
    mut departed: Vec<NicRecord>,
    gone: Arc<Notify>,
) -> anyhow::Error {
    let mut period = tokio::time::interval(FABRIC_PERIOD);
    period.tick().await;
    loop {
        tokio::select! {
            _ = period.tick() => match host_ends.fabric().up().await {
                Ok(steps) => steps.iter().for_each(|step| warn!("fabric: mended: {step}")),
                Err(failure) => error!("fabric: {:#}", anyhow::Error::new(failure)),
            },
            () = gone.notified() => {}
        }
        let settled = async {
            pools.warm_up()?;
            settle_departed(&host_ends, &pools, std::mem::take(&mut departed)).await
        };
        match settled.await {
            Ok(left) => departed = left,
            Err(failure) => {
                return anyhow::Error::new(failure).context("the ledger failed, so nothing can be promised");
            }
        }
    }
}

/// Peers of a VM that dies shall not wait until somebody looks: the kernel tells at once that a host end is gone.
async fn notice_departures(host_ends: Arc<KernelHostEnds>, gone: Arc<Notify>) -> anyhow::Error {
    let mut links = match LinkMonitor::here() {
        Ok(links) => links,
        Err(failure) => return anyhow::Error::new(failure).context("watch the host's links"),
    };
    loop {
        match links.next().await {
            Ok(LinkEvent::Gone(link)) if NicId::from_link_name(&link.name).is_some() => {
                if let Err(failure) = host_ends.sweep() {
                    error!("loopback groups: {:#}", anyhow::Error::new(failure));
                }
                gone.notify_one();
            }
            Ok(_) => {}
            Err(failure) => return anyhow::Error::new(failure).context("watch the host's links"),
        }
    }
}

/// Gives back what NICs held whose VM is neither configured nor there any more. Returns those that are still there.
async fn settle_departed(
    host_ends: &KernelHostEnds,
    pools: &Pools,
    departed: Vec<NicRecord>,
) -> Result<Vec<NicRecord>, LedgerError> {
    if departed.is_empty() {
        return Ok(departed);
    }
    match host_ends.observe().await {
        Ok(seen) => pools.settle_departed(departed, |nic| seen.contains_key(&nic)).await,
        Err(failure) => {
            warn!("fabric: {:#}", anyhow::Error::new(failure));
            Ok(departed)
        }
    }
}

/// Sixteen bits of the machine id, so that two hosts on one network seldom give out the same MAC address.
fn host_id(machine_id: &Path) -> u16 {
    let text = std::fs::read_to_string(machine_id).unwrap_or_default();
    // FNV-1a, 32 bits folded: any mixing does, as long as it is the same after every update.
    let hash = text
        .trim()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    ((hash >> 16) ^ (hash & 0xffff)) as u16
}
