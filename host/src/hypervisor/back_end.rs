//! What a back end is to everyone else: two traits, and what passes between.

use super::{
    error::HypervisorError,
    observation::{HypervisorEvent, Observation},
};
use async_trait::async_trait;
use nestless_model::identity::{Mac, Mtu, NicId, VmName};
use std::time::Duration;
use tokio::sync::mpsc;

/// One way to run VMs, made once for a host. It owns what its VMs share: a connection to a daemon that manages them all is
/// opened for the first VM that needs it, and each VM's [`Hypervisor`] holds a share of it.
pub trait BackEnd {
    /// What the operator writes of one VM.
    type Config;
    /// One VM of it.
    type Vm: Hypervisor + 'static;

    /// Begins to watch a VM, which need not run yet. Must be called inside a Tokio runtime, in the network namespace where
    /// the host ends are to be.
    ///
    /// # Errors
    /// When the host cannot be watched.
    fn connect(&mut self, vm: &VmName, config: &Self::Config)
    -> Result<Connected<Self::Vm>, HypervisorError>;
}

/// A VM's hypervisor and its events, which end with it.
pub struct Connected<H> {
    /// The hypervisor.
    pub hypervisor: H,
    /// Its events, in order.
    pub events: mpsc::Receiver<HypervisorEvent>,
}

/// One VM. All calls may run at the same time; a call repeated finishes what an earlier one left.
#[async_trait]
pub trait Hypervisor: Send + Sync {
    /// Of which back end it is.
    const KIND: &'static Kind;
    /// The host end of a NIC that is not plugged yet: a link that is down and in no bridge, called
    /// [`NicId::link_name`]. Dropping it undoes its making.
    type HostEnd: Send;

    /// Makes the host end. A link left over from an earlier, unfinished attempt is replaced.
    ///
    /// # Errors
    /// When the link cannot be made: no permission, no `/dev/net/tun`.
    async fn create_host_end(&self, spec: &NicSpec) -> Result<Self::HostEnd, HypervisorError>;

    /// Plugs the NIC. Returns when the hypervisor has it, which is before the guest sees it.
    ///
    /// # Errors
    /// When the hypervisor refuses; nothing half-plugged is left then.
    async fn plug(&self, spec: &NicSpec, host_end: Self::HostEnd) -> Result<(), HypervisorError>;

    /// Takes the NIC out of the VM and removes its host end, whatever of it there is. Succeeds when there is nothing.
    ///
    /// # Errors
    /// [`HypervisorError::UnplugTimeout`] when the guest did not let go within `deadline`: the device, its MAC address
    /// and its name are still taken. Repeat later.
    async fn unplug(&self, nic: NicId, deadline: Duration) -> Result<(), HypervisorError>;

    /// Looks.
    ///
    /// # Errors
    /// When the hypervisor answers nonsense. One that does not answer at all is a VM that is down, no error.
    async fn observe(&self) -> Result<Observation, HypervisorError>;

    /// Why the VM is down, as far as is known: for people. `None` while it answers.
    fn trouble(&self) -> Option<String>;
}

/// What all VMs of a back end have in common: for status and traces, and to check a configuration by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// "qemu", "namespace".
    pub name: &'static str,
    /// The kind of link that a host end is: "tap", "veth".
    pub host_end: &'static str,
    /// The device that it plugs; `None` where the other end of the link itself goes into the VM.
    pub device: Option<&'static str>,
    /// Pairs of queues of a NIC at most.
    pub max_queues: u16,
}

/// What a back end must know to make a NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicSpec {
    /// Names the device and the host end.
    pub nic: NicId,
    /// Plug-time address, by which the guest finds the NIC.
    pub mac: Mac,
    /// Told to the guest by the device, where the device can.
    pub mtu: Mtu,
    /// Pairs of receive and transmit queues, at least 1.
    pub queues: u16,
}
