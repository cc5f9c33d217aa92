//! Puts the parts together: ledger, fabric, guard, and a task per VM.

use crate::{
    agents::Agents,
    allowance::Allowances,
    config::Config,
    reload::Plan,
    vms::{Served, Vms},
};
use anyhow::{Context as _, anyhow};
use nestless_host::{
    fabric::Fabric,
    guard::Guard,
    host_ends::KernelHostEnds,
    hypervisor::BackEnds,
    ledger::{Ledger, LedgerError},
    loopback::Loopback,
    vm::{self, HostEnds, Pools, VmConfig},
};
use nestless_model::{
    attachment::{NicRecord, Remembered},
    identity::{NicId, VmName},
};
use nestless_support::{
    former_settings::FormerSettings,
    netlink::{LinkEvent, LinkMonitor},
    rules_monitor::RulesMonitor,
};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};
use tokio::{
    sync::{Mutex, Notify, oneshot},
    task::JoinSet,
    time::{Duration, MissedTickBehavior},
};
use tracing::{error, info, warn};

/// How often bridges and addresses are compared with the configuration.
const FABRIC_PERIOD: Duration = Duration::from_secs(30);

/// How often fractions are asked whether they answer; [`nestless_model::loopback::Hearing`] counts in these.
const HEARING_PERIOD: Duration = Duration::from_secs(1);

/// Whoever changes packet rules changes many, and is asked no more often than this.
const RULES_PAUSE: Duration = Duration::from_secs(1);

/// What the services work with.
pub(crate) struct Host {
    pub(crate) pools: Arc<Pools>,
    pub(crate) host_ends: Arc<KernelHostEnds>,
    pub(crate) vms: Vms,
    pub(crate) started: Instant,
    pub(crate) agents: Agents,
    pub(crate) allowances: Allowances,
}

/// What the ledger has of VMs that are configured no more. Whoever changes who is configured holds it meanwhile.
type Departed = Arc<Mutex<Vec<NicRecord>>>;

/// The running daemon.
pub(crate) struct Daemon {
    host: Arc<Host>,
    config: Config,
    back_ends: BackEnds,
    departed: Departed,
    /// None when a VM's task ended that had been asked to.
    tasks: JoinSet<Option<anyhow::Error>>,
}

impl Daemon {
    /// Starts everything; returns when the world and the ledger have been compared once.
    pub(crate) async fn start(config: Config) -> anyhow::Result<Self> {
        let ledger = Ledger::open(&config.host.state_dir.join("ledger.redb"))?;
        let contents = ledger.read()?;
        let host_ends = Arc::new(open_host_ends(&config).await?);
        host_ends.restore(&contents.nics).context("give loopback groups their members back")?;
        let host_id = config.host.host_id.unwrap_or_else(|| host_id(Path::new("/etc/machine-id")));
        let pools = Pools::new(ledger, host_id, config.networks.clone(), config.tenants(), &contents)
            .with_macs(config.macs());
        let pools = Arc::new(pools);
        contents.nics.iter().for_each(|record| warn_of_mtu(record, &pools));
        let host = Arc::new(Host {
            pools,
            host_ends,
            vms: Vms::default(),
            started: Instant::now(),
            agents: Agents::default(),
            allowances: Allowances::default(),
        });
        let (back_ends, departed, tasks) = (BackEnds::default(), Departed::default(), JoinSet::new());
        let mut daemon = Self { host, config, back_ends, departed, tasks };
        daemon.serve_all(contents.by_vm()).await?;
        let Host { pools, host_ends, .. } = &*daemon.host;
        let (pools, host_ends, departed) =
            (Arc::clone(pools), Arc::clone(host_ends), Arc::clone(&daemon.departed));
        pools.forget_strangers()?;
        settle_departed(&host_ends, &pools, &mut *departed.lock().await).await?;
        let gone = Arc::new(Notify::new());
        daemon.watch(keep_up(Arc::clone(&host_ends), pools, departed, Arc::clone(&gone)));
        daemon.watch(notice_silence(Arc::clone(&host_ends)));
        daemon.watch(notice_departures(host_ends, gone));
        Ok(daemon)
    }

    pub(crate) fn host(&self) -> Arc<Host> {
        Arc::clone(&self.host)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Waits for something that the daemon cannot live without to fail.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Some(error))) => return error,
                Some(Ok(None)) => {}
                Some(Err(panic)) => return anyhow!(panic).context("a task panicked"),
                None => std::future::pending().await,
            }
        }
    }

    /// Takes over a configuration that differs by its VMs, as `plan` tells, and returns when those that began have been
    /// looked at.
    ///
    /// # Errors
    /// When the ledger failed, so that nothing can be promised any more.
    pub(crate) async fn reload(&mut self, config: Config, plan: &Plan) -> anyhow::Result<()> {
        let departed = Arc::clone(&self.departed);
        let mut departed = departed.lock().await;
        for vm in plan.ending() {
            if let Some(served) = self.host.vms.remove(vm) {
                served.handle.stop().await;
            }
        }
        self.config = config;
        self.host.pools.set_tenants(self.config.tenants());
        self.host.pools.set_macs(self.config.macs());
        let mut remembered = self.host.pools.recall()?;
        let mut looking = Vec::new();
        for vm in plan.beginning() {
            departed.retain(|record| record.vm != *vm);
            match self.serve(vm, remembered.remove(vm).unwrap_or_default()) {
                Ok(looked) => looking.push(looked),
                Err(failure) => error!(%vm, "is not served: {failure:#}"),
            }
        }
        for vm in &plan.removed {
            departed.extend(self.leave(vm, remembered.remove(vm).unwrap_or_default()).await?);
        }
        for looked in looking {
            let _ = looked.await;
        }
        Ok(())
    }

    /// Lets running steps end. NICs stay as they are.
    pub(crate) async fn stop(mut self) {
        for (_, served) in self.host.vms.all() {
            served.handle.stop().await;
        }
        self.tasks.shutdown().await;
    }

    /// Begins with all VMs of the configuration, and takes leave of those that only the ledger has.
    async fn serve_all(&mut self, mut remembered: BTreeMap<VmName, Remembered>) -> anyhow::Result<()> {
        let names: Vec<VmName> = self.config.vms.iter().map(|vm| vm.name.clone()).collect();
        let mut looking = Vec::new();
        for vm in &names {
            looking.push(self.serve(vm, remembered.remove(vm).unwrap_or_default())?);
        }
        for (vm, remembered) in remembered {
            let left = self.leave(&vm, remembered).await?;
            self.departed.lock().await.extend(left);
        }
        for looked in looking {
            // A task that ended before its first look is reported through `failure`.
            let _ = looked.await;
        }
        Ok(())
    }

    /// Begins with a VM of the configuration. The receiver hears when it has been looked at.
    fn serve(&mut self, name: &VmName, remembered: Remembered) -> anyhow::Result<oneshot::Receiver<()>> {
        let vm = self.config.vm(name).ok_or_else(|| anyhow!("VM {name} is not configured"))?;
        let connected = self.back_ends.connect(name, &vm.hypervisor).with_context(|| format!("VM {name}"))?;
        let limits = self.config.limits(vm);
        let vm_config = VmConfig { name: name.clone(), limits: limits.clone(), queues: vm.queues };
        let host_ends = Arc::clone(&self.host.host_ends) as Arc<dyn HostEnds>;
        let pools = Arc::clone(&self.host.pools);
        let (handle, looked, task) = vm::spawn(vm_config, connected, host_ends, pools, remembered);
        let of = name.clone();
        self.tasks.spawn(async move { ended(&of, task.await) });
        self.host.vms.insert(name.clone(), Served { handle, limits });
        Ok(looked)
    }

    /// Takes leave of a VM that is configured no more. Returns what it still has.
    async fn leave(&self, vm: &VmName, remembered: Remembered) -> Result<Vec<NicRecord>, LedgerError> {
        if !remembered.nics.is_empty() {
            warn!(%vm, nics = remembered.nics.len(), "the ledger has NICs of a VM that the configuration has no more: they keep their addresses until the VM ends");
        }
        self.host.pools.unreserve_departed(vm, &remembered).await?;
        Ok(remembered.nics)
    }

    fn watch(&mut self, task: impl Future<Output = anyhow::Error> + Send + 'static) {
        self.tasks.spawn(async move { Some(task.await) });
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
    let fabric = Fabric::new(&config.instance(), config.networks.clone())?
        .noting_former_settings(FormerSettings::at(config.host.run_dir.join("former-settings.host")));
    fabric.check().await.context("a subnet of the configuration is in use on this host")?;
    let steps = fabric.up().await.context("set up the fabric")?;
    for step in steps {
        info!("fabric: {step}");
    }
    let guard = Guard::open(&config.host.pin_dir.join("guard")).context("load the guard")?;
    let loopback = Loopback::open(&config.host.pin_dir.join("loopback")).context("load the reflector")?;
    Ok(KernelHostEnds::new(fabric, guard, loopback))
}

/// None when it was asked to end.
fn ended(
    vm: &VmName,
    result: Result<Result<(), LedgerError>, tokio::task::JoinError>,
) -> Option<anyhow::Error> {
    match result {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(
            anyhow::Error::new(error)
                .context(format!("VM {vm}: the ledger failed, so nothing can be promised")),
        ),
        Err(panic) => Some(anyhow!(panic).context(format!("the task of VM {vm} panicked"))),
    }
}

/// Mends the fabric and frees rested addresses, for ever. What VMs held that are configured no more is settled as soon as
/// their host ends are gone: a fraction's name may be wanted elsewhere.
async fn keep_up(
    host_ends: Arc<KernelHostEnds>,
    pools: Arc<Pools>,
    departed: Departed,
    gone: Arc<Notify>,
) -> anyhow::Error {
    let mut period = tokio::time::interval(FABRIC_PERIOD);
    period.tick().await;
    let mut rules = RulesMonitor::here().ok();
    loop {
        tokio::select! {
            _ = period.tick() => mend(&host_ends).await,
            () = changed(&mut rules) => {
                tokio::time::sleep(RULES_PAUSE).await;
                mend(&host_ends).await;
            }
            () = gone.notified() => {}
        }
        let settled = async {
            pools.warm_up()?;
            settle_departed(&host_ends, &pools, &mut *departed.lock().await).await
        };
        if let Err(failure) = settled.await {
            return anyhow::Error::new(failure).context("the ledger failed, so nothing can be promised");
        }
    }
}

async fn mend(host_ends: &KernelHostEnds) {
    match host_ends.fabric().up().await {
        Ok(steps) => steps.iter().for_each(|step| warn!("fabric: mended: {step}")),
        Err(failure) => error!("fabric: {:#}", anyhow::Error::new(failure)),
    }
}

/// Somebody has changed the host's packet rules: a firewall that starts flushes all of them, ours included. Where nobody can tell,
/// it is noticed a while later.
async fn changed(rules: &mut Option<RulesMonitor>) {
    let told = match rules {
        Some(rules) => rules.changed().await,
        None => std::future::pending().await,
    };
    if told.is_err() {
        *rules = None;
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

/// A fraction that says nothing shall not have the others wait for ever.
async fn notice_silence(host_ends: Arc<KernelHostEnds>) -> anyhow::Error {
    let mut period = tokio::time::interval(HEARING_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        if let Err(failure) = host_ends.listen() {
            error!("loopback groups: {:#}", anyhow::Error::new(failure));
        }
    }
}

/// Gives back what NICs held whose VM is neither configured nor there any more. Those that are still there stay.
async fn settle_departed(
    host_ends: &KernelHostEnds,
    pools: &Pools,
    departed: &mut Vec<NicRecord>,
) -> Result<(), LedgerError> {
    if departed.is_empty() {
        return Ok(());
    }
    match host_ends.observe().await {
        Ok(seen) => {
            let records = std::mem::take(departed);
            *departed = pools.settle_departed(records, |nic| seen.contains_key(&nic)).await?;
        }
        Err(failure) => warn!("fabric: {:#}", anyhow::Error::new(failure)),
    }
    Ok(())
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
