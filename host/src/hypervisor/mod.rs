//! One trait for whatever runs the VMs. Callers know no back end; a back end knows no pod.
//!
//! A NIC is made in three steps, each of which may be the last one before a crash:
//!
//! ```text
//! create_host_end -> (fabric: guard, bridge port) -> plug
//! ```
//!
//! and taken away by [`Hypervisor::unplug`], which undoes whatever of them has happened.

pub mod config;
mod directory_watch;
pub mod namespace;
pub mod qemu;

pub use config::{HypervisorConfig, open};

use async_trait::async_trait;
use nestless_model::identity::{LinkName, Mac, Mtu, NicId, VmName};
use std::{collections::BTreeSet, os::fd::OwnedFd, time::Duration};
use tokio::sync::mpsc;

/// What a back end must know to make a NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicSpec {
    /// Names the device and the host's end.
    pub nic: NicId,
    /// Plug-time address, by which the guest finds the NIC.
    pub mac: Mac,
    /// Told to the guest by the device, where the device can.
    pub mtu: Mtu,
    /// Pairs of receive and transmit queues, at least 1.
    pub queues: u16,
}

/// The host's end of a NIC that is not plugged yet. Dropping it undoes its making.
#[derive(Debug)]
pub struct HostEnd {
    /// Its link on the host, down and in no bridge.
    pub link: LinkName,
    /// What the hypervisor will be given, and what keeps the link alive: a descriptor per queue for a TAP; the namespace
    /// where the other end waits for a veth.
    pub queues: Vec<OwnedFd>,
}

/// How the VM itself is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmState {
    /// Its hypervisor answers, and the CPUs run.
    Running,
    /// Its hypervisor answers, and the CPUs stand still.
    Paused,
    /// Nothing answers.
    Down,
}

/// What is plugged, seen from the hypervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// How the VM is.
    pub state: VmState,
    /// Our NICs that the VM has, in whole or in part (device without back end, or the reverse).
    pub nics: BTreeSet<NicId>,
    /// Those that it has in part only.
    pub halves: BTreeSet<NicId>,
    /// Hot-plug places in all, where the back end can count them.
    pub capacity: Option<u32>,
}

impl Observation {
    /// A VM that does not answer has nothing.
    pub(crate) fn down() -> Self {
        Self { state: VmState::Down, nics: BTreeSet::new(), halves: BTreeSet::new(), capacity: None }
    }
}

/// What a back end tells without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmEvent {
    /// The hypervisor answers (again): what was observed before is worthless.
    Up,
    /// The guest was reset; NICs stay plugged, unplugs that were pending are done.
    Reset,
    /// The hypervisor is gone, and the NICs with it.
    Down,
    /// A NIC is out of the guest.
    NicGone(NicId),
}

/// One VM. All calls may run at the same time; a call repeated finishes what an earlier one left.
#[async_trait]
pub trait Hypervisor: Send + Sync {
    /// For status and logs: "qemu", "namespace".
    fn kind(&self) -> &'static str;

    /// Makes the host's end. A link left over from an earlier, unfinished attempt is replaced.
    ///
    /// # Errors
    /// When the link cannot be made: no permission, no `/dev/net/tun`.
    async fn create_host_end(&self, spec: &NicSpec) -> Result<HostEnd, HypervisorError>;

    /// Plugs the NIC. Returns when the hypervisor has it, which is before the guest sees it.
    ///
    /// # Errors
    /// When the hypervisor refuses; nothing half-plugged is left then.
    async fn plug(&self, spec: &NicSpec, end: HostEnd) -> Result<(), HypervisorError>;

    /// Takes the NIC out of the VM and removes its host's end, whatever of it there is. Succeeds when there is nothing.
    ///
    /// # Errors
    /// [`HypervisorError::UnplugTimeout`] when the guest did not let go within `deadline`: the device, its MAC address
    /// and its name are still taken. Repeat later.
    async fn unplug(&self, nic: NicId, deadline: Duration) -> Result<(), HypervisorError>;

    /// Looks.
    ///
    /// # Errors
    /// When the hypervisor answers nonsense. One that does not answer at all is [`VmState::Down`], no error.
    async fn observe(&self) -> Result<Observation, HypervisorError>;
}

/// What people read on a host's end, and what a back end finds its own links by after a restart.
pub fn link_alias(vm: &VmName, nic: NicId) -> String {
    format!("nestless vm={vm} nic={:x}", nic.0)
}

/// A back end and its events, which end with it.
pub struct Connected {
    /// The back end.
    pub hypervisor: Box<dyn Hypervisor>,
    /// Its events, in order.
    pub events: mpsc::Receiver<VmEvent>,
}

/// A back end's failure, with the operation and the object in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HypervisorError {
    /// No hypervisor answers.
    #[error("the hypervisor does not answer on {endpoint}: is the VM running?")]
    Down {
        /// Socket or namespace.
        endpoint: String,
    },
    /// The host's end could not be made.
    #[error("create {link}, the host's end of {nic}")]
    HostEnd {
        /// The NIC.
        nic: NicId,
        /// Its link.
        link: LinkName,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Every hot-plug place is taken.
    #[error("no free hot-plug port for {nic}: `nestless topology` prints what more NICs need")]
    NoPort {
        /// The NIC.
        nic: NicId,
    },
    /// The hypervisor refused to plug.
    #[error("plug {nic}")]
    Plug {
        /// The NIC.
        nic: NicId,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hypervisor refused to unplug.
    #[error("unplug {nic}")]
    Unplug {
        /// The NIC.
        nic: NicId,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The guest did not let go.
    #[error("the guest did not release {nic} within {waited:?}")]
    UnplugTimeout {
        /// The NIC.
        nic: NicId,
        /// How long was waited.
        waited: Duration,
    },
    /// Looking failed.
    #[error("observe the VM behind {endpoint}")]
    Observe {
        /// Socket or namespace.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
