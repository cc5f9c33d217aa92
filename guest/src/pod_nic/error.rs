//! What may go wrong between parking and a sandbox.

use crate::parking::{MoveError, TakeError};
use nestless_model::identity::{InterfaceName, Mac};
use nestless_support::{netlink::NetlinkError, sysctl::SysctlError};

/// A NIC could not be brought, or taken back.
#[derive(Debug, thiserror::Error)]
pub enum PodNicError {
    /// The name is taken. Nothing was changed.
    #[error("the sandbox has a link called {interface} already")]
    InterfaceExists {
        /// The name.
        interface: InterfaceName,
    },
    /// It does not wait in the parking namespace as new. Nothing was changed.
    #[error("the NIC with MAC address {nic} does not wait in the parking namespace")]
    Absent {
        /// Plug-time address.
        nic: Mac,
    },
    /// It cannot be taken from the parking namespace. Nothing was changed.
    #[error("take the NIC with MAC address {nic} from the parking namespace")]
    Take {
        /// Plug-time address.
        nic: Mac,
        /// Why.
        #[source]
        source: TakeError,
    },
    /// The sandbox's links cannot be seen.
    #[error("look into the sandbox")]
    Look {
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// The kernel refused a step. The NIC was taken back.
    #[error("configure {interface}")]
    Configure {
        /// Its name in the sandbox.
        interface: InterfaceName,
        /// Which step, and why.
        #[source]
        source: NetlinkError,
    },
    /// A setting of the kernel's for this NIC. The NIC was taken back.
    #[error("set the IPv6 behaviour of {interface}")]
    Setting {
        /// Its name in the sandbox.
        interface: InterfaceName,
        /// Which, and why.
        #[source]
        source: SysctlError,
    },
    /// Its routing rules stay. It was not taken back.
    #[error("delete the routing rules of the NIC with MAC address {nic}")]
    Rules {
        /// Plug-time address.
        nic: Mac,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// It could not be taken back.
    #[error("take the NIC with MAC address {nic} back")]
    Withdraw {
        /// Plug-time address.
        nic: Mac,
        /// Why.
        #[source]
        source: MoveError,
    },
}
