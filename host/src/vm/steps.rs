//! Carries steps out, and looks. Chooses nothing.

use super::ports::{HostEndSeen, PortError, Ports, in_full};
use crate::hypervisor::{HostEnd, Hypervisor, HypervisorError, NicSpec, VmState as Hypervised};
use nestless_model::{
    attachment::{Guarding, HostEndState, NicRecord, Step, StepFailure, StepOrder, VmState, World},
    identity::{LinkName, NicId},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A guest that answers at all answers within this (facts: 0.1 s under emulation, 5 s with native PCIe hot-plug).
const UNPLUG_DEADLINE: Duration = Duration::from_secs(10);

/// What hypervisor and links showed.
#[derive(Debug)]
pub(super) struct Look {
    as_of: u64,
    state: VmState,
    ports: Option<u32>,
    plugged: BTreeSet<NicId>,
    halves: BTreeSet<NicId>,
    host_ends: BTreeMap<NicId, HostEndSeen>,
}

impl Look {
    /// Every NIC that exists in some part, other VMs' host ends among them.
    pub(super) fn nics(&self) -> impl Iterator<Item = NicId> {
        self.plugged.iter().chain(self.host_ends.keys()).copied()
    }

    /// The same for the machine. `bridge_of` tells where a NIC belongs: a port of another bridge is not its own, while one
    /// whose network is configured no more stays where it is.
    pub(super) fn world<'a>(self, bridge_of: impl Fn(NicId) -> Option<&'a LinkName>) -> World {
        let host_ends = self.host_ends.into_iter().map(|(nic, end)| {
            let wanted = bridge_of(nic);
            let isolated = end.up && end.bridge.is_none();
            let is_wanted = |bridge: &String| wanted.is_none_or(|wanted| wanted.as_str() == bridge);
            let enslaved = end.up && end.bridge.as_ref().is_some_and(is_wanted);
            (nic, HostEndState { enslaved, isolated, guarded: end.guarded, reflected: end.reflected })
        });
        World {
            as_of: self.as_of,
            state: self.state,
            slots: self.ports,
            plugged: self.plugged,
            halves: self.halves,
            host_ends: host_ends.collect(),
        }
    }
}

/// The hands of a VM's task.
pub(super) struct Executor {
    pub(super) hypervisor: Box<dyn Hypervisor>,
    pub(super) ports: Arc<dyn Ports>,
    pub(super) queues: u16,
    /// Host's ends between their making and their plugging.
    pub(super) ends: Mutex<BTreeMap<NicId, HostEnd>>,
}

impl Executor {
    pub(super) async fn carry_out(&self, order: &StepOrder) -> Result<(), StepFailure> {
        let nic = order.record.nic;
        let link = nic.link_name();
        match &order.step {
            Step::CreateHostEnd => {
                let end = self.hypervisor.create_host_end(&self.spec(&order.record)).await?;
                self.ends().insert(nic, end);
                Ok(())
            }
            Step::Guard(Guarding::Closed) => Ok(self.ports.close(&link).await?),
            Step::Guard(Guarding::Open(rules)) => Ok(self.ports.protect(&link, rules).await?),
            Step::Guard(Guarding::Reflected(membership)) => Ok(self.ports.reflect(&link, membership).await?),
            Step::Isolate => Ok(self.ports.isolate(&order.record.vm, nic, order.record.served_mtu()).await?),
            Step::Enslave => Ok(self.ports.join(&order.record.vm, nic, &order.record.network).await?),
            Step::Plug => {
                let end = self.ends().remove(&nic);
                let end = end.ok_or_else(|| {
                    StepFailure::Fabric(format!("the host end of {nic} was closed before it was plugged"))
                })?;
                Ok(self.hypervisor.plug(&self.spec(&order.record), end).await?)
            }
            Step::Unplug => {
                drop(self.ends().remove(&nic));
                Ok(self.hypervisor.unplug(nic, UNPLUG_DEADLINE).await?)
            }
        }
    }

    /// One look at hypervisor and links.
    pub(super) async fn observe(&self, as_of: u64) -> Result<Look, StepFailure> {
        let seen = self.hypervisor.observe().await?;
        let host_ends = self.ports.observe().await?;
        let state = match seen.state {
            Hypervised::Running => VmState::Running,
            Hypervised::Paused => VmState::Paused,
            Hypervised::Down => VmState::Down,
        };
        Ok(Look { as_of, state, ports: seen.capacity, plugged: seen.nics, halves: seen.halves, host_ends })
    }

    fn spec(&self, record: &NicRecord) -> NicSpec {
        NicSpec { nic: record.nic, mac: record.mac, mtu: record.mtu, queues: self.queues }
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, BTreeMap<NicId, HostEnd>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<HypervisorError> for StepFailure {
    fn from(error: HypervisorError) -> Self {
        let text = in_full(&error);
        match error {
            HypervisorError::NoPort { .. } => Self::NoSlot(text),
            HypervisorError::Down { .. } => Self::VmDown(text),
            HypervisorError::UnplugTimeout { .. } => Self::UnplugTimeout(text),
            HypervisorError::HostEnd { .. } => Self::Fabric(text),
            _ => Self::Hypervisor(text),
        }
    }
}

impl From<PortError> for StepFailure {
    fn from(error: PortError) -> Self {
        Self::Fabric(in_full(&error))
    }
}
