//! A VM's hypervisor without its type, for a task that serves any.
//!
//! What a host end is, only its back end knows, and so none is ever handed out: from its making to its plugging it waits
//! here, and no back end can be given another's.

use super::{
    back_end::{Connected, Hypervisor, Kind, NicSpec},
    error::HypervisorError,
    observation::Observation,
};
use async_trait::async_trait;
use nestless_model::identity::NicId;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A [`Hypervisor`] of any back end, whose methods have the same contracts.
#[async_trait]
pub trait VmHypervisor: Send + Sync {
    /// Of which back end it is.
    fn kind(&self) -> &'static Kind;

    /// Makes the NIC's host end, and keeps it until it is plugged or unplugged.
    ///
    /// # Errors
    /// As [`Hypervisor::create_host_end`].
    async fn create_host_end(&self, spec: &NicSpec) -> Result<(), HypervisorError>;

    /// Plugs the NIC by the host end that was made for it.
    ///
    /// # Errors
    /// As [`Hypervisor::plug`], and [`HypervisorError::NoHostEnd`].
    async fn plug(&self, spec: &NicSpec) -> Result<(), HypervisorError>;

    /// Takes the NIC out of the VM, and gives up its host end.
    ///
    /// # Errors
    /// As [`Hypervisor::unplug`].
    async fn unplug(&self, nic: NicId, deadline: Duration) -> Result<(), HypervisorError>;

    /// Looks.
    ///
    /// # Errors
    /// As [`Hypervisor::observe`].
    async fn observe(&self) -> Result<Observation, HypervisorError>;

    /// As [`Hypervisor::trouble`].
    fn trouble(&self) -> Option<String>;
}

impl<H: Hypervisor + 'static> Connected<H> {
    /// The same without its type.
    pub fn erased(self) -> Connected<Box<dyn VmHypervisor>> {
        let hypervisor = Erased { hypervisor: self.hypervisor, host_ends: Mutex::default() };
        Connected { hypervisor: Box::new(hypervisor), events: self.events }
    }
}

struct Erased<H: Hypervisor> {
    hypervisor: H,
    /// Made, and not plugged yet.
    host_ends: Mutex<BTreeMap<NicId, H::HostEnd>>,
}

impl<H: Hypervisor> Erased<H> {
    fn host_ends(&self) -> MutexGuard<'_, BTreeMap<NicId, H::HostEnd>> {
        self.host_ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, nic: NicId) -> Option<H::HostEnd> {
        self.host_ends().remove(&nic)
    }
}

#[async_trait]
impl<H: Hypervisor> VmHypervisor for Erased<H> {
    fn kind(&self) -> &'static Kind {
        H::KIND
    }

    async fn create_host_end(&self, spec: &NicSpec) -> Result<(), HypervisorError> {
        drop(self.take(spec.nic));
        let host_end = self.hypervisor.create_host_end(spec).await?;
        self.host_ends().insert(spec.nic, host_end);
        Ok(())
    }

    async fn plug(&self, spec: &NicSpec) -> Result<(), HypervisorError> {
        let host_end = self.take(spec.nic).ok_or(HypervisorError::NoHostEnd { nic: spec.nic })?;
        self.hypervisor.plug(spec, host_end).await
    }

    async fn unplug(&self, nic: NicId, deadline: Duration) -> Result<(), HypervisorError> {
        drop(self.take(nic));
        self.hypervisor.unplug(nic, deadline).await
    }

    async fn observe(&self) -> Result<Observation, HypervisorError> {
        self.hypervisor.observe().await
    }

    fn trouble(&self) -> Option<String> {
        self.hypervisor.trouble()
    }
}
