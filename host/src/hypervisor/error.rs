//! What can go wrong with a hypervisor.

use nestless_model::identity::{LinkName, NicId};
use std::time::Duration;

type Cause = Box<dyn std::error::Error + Send + Sync>;

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
    /// The host end could not be made.
    #[error("create {link}, the host's end of {nic}")]
    HostEnd {
        /// The NIC.
        nic: NicId,
        /// Its link.
        link: LinkName,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Every hot-plug slot is taken.
    #[error("no free hot-plug port for {nic}: `nestless topology` prints what more NICs need")]
    NoSlot {
        /// The NIC.
        nic: NicId,
    },
    /// It is to be plugged, and has no host end: it was never made, or has been given up.
    #[error("the host end of {nic} was closed before it was plugged")]
    NoHostEnd {
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
        source: Cause,
    },
    /// The hypervisor refused to unplug.
    #[error("unplug {nic}")]
    Unplug {
        /// The NIC.
        nic: NicId,
        /// Why.
        #[source]
        source: Cause,
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
        source: Cause,
    },
}
