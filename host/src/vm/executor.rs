//! Carries steps out, and looks. Chooses nothing.

use super::{
    host_ends::{HostEndError, HostEnds},
    observation::VmObservation,
};
use crate::hypervisor::{HypervisorError, NicSpec, VmHypervisor};
use nestless_model::attachment::{Guarding, NicRecord, Step, StepFailure, StepOrder};
use nestless_support::error_chain::in_full;
use std::{sync::Arc, time::Duration};

/// A guest that answers at all answers within this (facts: 0.1 s under emulation, 5 s with native PCIe hot-plug).
const UNPLUG_DEADLINE: Duration = Duration::from_secs(10);

/// The hands of a VM's task.
pub(super) struct Executor {
    pub(super) hypervisor: Box<dyn VmHypervisor>,
    pub(super) host_ends: Arc<dyn HostEnds>,
    pub(super) queues: u16,
}

impl Executor {
    pub(super) async fn carry_out(&self, StepOrder { record, step }: &StepOrder) -> Result<(), StepFailure> {
        let (nic, link, host_ends) = (record.nic, record.nic.link_name(), &self.host_ends);
        match step {
            Step::CreateHostEnd => self.hypervisor.create_host_end(&self.spec(record)).await?,
            Step::Guard(Guarding::Closed) => host_ends.close(&link).await?,
            Step::Guard(Guarding::Open(rules)) => host_ends.protect(&link, rules).await?,
            Step::Guard(Guarding::Reflected(membership)) => host_ends.reflect(&link, membership).await?,
            Step::Isolate => host_ends.isolate(&record.vm, nic, record.served_mtu()).await?,
            Step::Enslave => host_ends.enslave(&record.vm, nic, &record.network).await?,
            Step::Plug => self.hypervisor.plug(&self.spec(record)).await?,
            Step::Unplug => self.hypervisor.unplug(nic, UNPLUG_DEADLINE).await?,
        }
        Ok(())
    }

    /// One look at hypervisor and host ends.
    pub(super) async fn observe(&self, as_of: u64) -> Result<VmObservation, StepFailure> {
        let hypervisor = self.hypervisor.observe().await?;
        let host_ends = self.host_ends.observe().await?;
        Ok(VmObservation { as_of, hypervisor, host_ends })
    }

    fn spec(&self, record: &NicRecord) -> NicSpec {
        NicSpec { nic: record.nic, mac: record.mac, mtu: record.mtu, queues: self.queues }
    }
}

impl From<HypervisorError> for StepFailure {
    fn from(error: HypervisorError) -> Self {
        let text = in_full(&error);
        match error {
            HypervisorError::NoSlot { .. } => Self::NoSlot(text),
            HypervisorError::Down { .. } => Self::VmDown(text),
            HypervisorError::UnplugTimeout { .. } => Self::UnplugTimeout(text),
            HypervisorError::HostEnd { .. } | HypervisorError::NoHostEnd { .. } => Self::Fabric(text),
            _ => Self::Hypervisor(text),
        }
    }
}

impl From<HostEndError> for StepFailure {
    fn from(error: HostEndError) -> Self {
        Self::Fabric(in_full(&error))
    }
}
