//! A fraction's endpoint: the NIC that carries what its `lo` cannot deliver.
//!
//! ```text
//! parking --move+rename--> hostlo0 --settings of lo--> steer loaded --steer_in, steer_out attached--> up
//!    ^____________________________|______________________|_______________________|   (a failure takes all back)
//! ```
//! The last step is the filter at `lo`: before it, nothing in the sandbox behaves otherwise than without us. Settings
//! are those of the sandbox's `lo`, and its range of ephemeral ports; what they were stands in the alias of `lo`.

mod settings;
mod steer;

pub use settings::{PortSlice, PortSliceError};

use crate::{
    identify::hardware,
    parking::{MoveError, Parking},
    pod_nic::withdraw,
};
use aya::programs::ProgramError;
use nestless_model::identity::{Mac, Mtu};
use nestless_support::{
    netlink::{Link, Netlink, NetlinkError},
    netns::{Namespace, NamespaceError},
    sysctl::SysctlError,
};
use std::io;

/// The endpoint's name in the sandbox.
pub const NAME: &str = "hostlo0";

/// What an endpoint is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopbackEndpoint {
    /// Plug-time address, to find the NIC by.
    pub nic_mac: Mac,
    /// Largest packet, of the NIC and of the sandbox's `lo`.
    pub mtu: Mtu,
    /// The ephemeral ports that are this fraction's.
    pub ports: PortSlice,
}

/// An endpoint could not be set up, looked at or taken back.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackEndpointError {
    /// There is one. Nothing was changed.
    #[error("the sandbox has a link called {NAME} already: it is in a loopback group")]
    Exists,
    /// It does not wait in the parking namespace. Nothing was changed.
    #[error("the NIC with MAC address {nic} does not wait in the parking namespace")]
    Absent {
        /// Plug-time address.
        nic: Mac,
    },
    /// The sandbox's links cannot be seen.
    #[error("look into the sandbox")]
    Look {
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// The kernel refused a step. All was taken back.
    #[error("configure {NAME}")]
    Configure {
        /// Which step, and why.
        #[source]
        source: NetlinkError,
    },
    /// A setting of the sandbox's. All was taken back.
    #[error("set the sandbox's loopback behaviour")]
    Setting {
        /// Which, and why.
        #[source]
        source: SysctlError,
    },
    /// The kernel did not take steer. All was taken back.
    #[error("load steer (Linux 6.1 or later, and CAP_BPF and CAP_NET_ADMIN, are needed)")]
    Load {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Steer could not be put on a link, or taken off. All was taken back.
    #[error("attach steer to {link}")]
    Attach {
        /// "lo" or [`NAME`].
        link: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The endpoint's packets could not be led to `lo`. All was taken back.
    #[error("have lo receive what comes by {NAME} (the kernel needs act_mirred: modprobe act_mirred)")]
    HandOver {
        /// Why.
        #[source]
        source: ProgramError,
    },
    /// What `lo` is called could not be noted. All was taken back.
    #[error(
        "lo of the sandbox has an alias of {bytes} bytes, of which {room} can be kept: shorten it (ip link set lo alias)"
    )]
    Alias {
        /// So long it is.
        bytes: usize,
        /// So long it may be.
        room: usize,
    },
    /// The qdisc of `lo` could not be looked at, or taken away.
    #[error("look at the clsact qdisc of lo")]
    Hooks {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The sandbox cannot be entered.
    #[error("enter the sandbox")]
    Enter {
        /// Why.
        #[source]
        source: NamespaceError,
    },
    /// The NIC could not be taken back.
    #[error("take the NIC with MAC address {nic} back")]
    Withdraw {
        /// Plug-time address.
        nic: Mac,
        /// Why.
        #[source]
        source: MoveError,
    },
}

type Result<T> = std::result::Result<T, LoopbackEndpointError>;

/// Makes a waiting NIC the sandbox's endpoint.
///
/// Guarantees: on an error the NIC waits in the parking namespace as before, and the sandbox is as it was.
///
/// # Errors
/// [`LoopbackEndpointError::Exists`] and [`LoopbackEndpointError::Absent`] before anything is changed; others name
/// the step.
pub async fn join(parking: &Parking, sandbox: &Namespace, endpoint: &LoopbackEndpoint) -> Result<()> {
    let look = |source| LoopbackEndpointError::Look { source };
    let inside = Netlink::inside(sandbox).await.map_err(look)?;
    if inside.link_if_any(NAME).await.map_err(look)?.is_some() {
        return Err(LoopbackEndpointError::Exists);
    }
    let waiting = parking.find(endpoint.nic_mac).await.map_err(look)?;
    let waiting = waiting.ok_or(LoopbackEndpointError::Absent { nic: endpoint.nic_mac })?;
    let outcome = bring(parking, sandbox, &inside, &waiting, endpoint).await;
    if outcome.is_err() {
        // The first failure is the one to tell. What stays goes with the sandbox.
        if let Err(error) = steer::detach(sandbox).await {
            tracing::warn!(nic = %endpoint.nic_mac, %error, "steer stays in a sandbox that is in no loopback group");
        }
        if let Err(error) = settings::restore(sandbox, &inside).await {
            tracing::warn!(nic = %endpoint.nic_mac, %error, "a sandbox keeps settings of a loopback group");
        }
        if let Err(error) = withdraw(parking, sandbox, endpoint.nic_mac).await {
            tracing::warn!(nic = %endpoint.nic_mac, %error, "a NIC stays in a sandbox it could not be configured in");
        }
    }
    outcome
}

/// Takes the endpoint away and sets back what [`join`] has changed: the sandbox is as it was. Returns whether the NIC was
/// there. May be repeated, and by another process than the one that joined.
///
/// # Errors
/// When the sandbox cannot be looked into, or the kernel does not let go of the NIC.
pub async fn leave(parking: &Parking, sandbox: &Namespace, nic: Mac) -> Result<bool> {
    steer::detach(sandbox).await?;
    let inside = Netlink::inside(sandbox).await.map_err(|source| LoopbackEndpointError::Look { source })?;
    settings::restore(sandbox, &inside).await?;
    withdraw(parking, sandbox, nic).await.map_err(|error| match error {
        crate::pod_nic::PodNicError::Withdraw { nic, source } => {
            LoopbackEndpointError::Withdraw { nic, source }
        }
        crate::pod_nic::PodNicError::Look { source }
        | crate::pod_nic::PodNicError::Configure { source, .. } => LoopbackEndpointError::Look { source },
        _ => LoopbackEndpointError::Absent { nic },
    })
}

/// Whether the sandbox has an endpoint with steer on both its hooks.
///
/// # Errors
/// When the sandbox cannot be looked into.
pub async fn is_joined(sandbox: &Namespace) -> Result<bool> {
    steer::is_attached(sandbox).await
}

async fn bring(
    parking: &Parking,
    sandbox: &Namespace,
    inside: &Netlink,
    waiting: &Link,
    endpoint: &LoopbackEndpoint,
) -> Result<()> {
    let failed = |source| LoopbackEndpointError::Configure { source };
    parking.netlink().move_to(waiting, sandbox, Some(NAME)).await.map_err(failed)?;
    let link = inside.link(NAME).await.map_err(failed)?;
    if link.mac != Some(hardware(endpoint.nic_mac)) {
        inside.set_mac(&link, hardware(endpoint.nic_mac)).await.map_err(failed)?;
    }
    inside.set_mtu(&link, endpoint.mtu.bytes()).await.map_err(failed)?;
    // It has no address, and shall say nothing of its own.
    settings::quiet(sandbox).await?;
    settings::remember(sandbox, inside).await?;
    let wanted = settings::Settings::of_a_fraction(endpoint.mtu, endpoint.ports);
    settings::write(sandbox, inside, &wanted).await?;
    let lo = inside.link("lo").await.map_err(failed)?;
    if !lo.up {
        inside.set_up(&lo).await.map_err(failed)?;
    }
    inside.set_up(&link).await.map_err(failed)?;
    steer::attach(sandbox, link.index).await
}
