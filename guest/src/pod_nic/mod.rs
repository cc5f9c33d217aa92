//! A NIC in a sandbox: brought there and configured, looked at, taken back.
//!
//! ```text
//! parking --move+rename--> sandbox --MAC, MTU--> up --addresses, routes--> announced
//!    ^________________________|______________________|   (a failure takes it back)
//! ```
//! Addresses and routes belong to the NIC, so taking it back is the inverse of every step at once, but for the rules of a
//! second NIC ([`routing`]), which are deleted first.

mod configure;
mod device;
mod inspect;
mod routing;
mod withdraw;

pub use configure::{Configured, configure};
pub use device::{Device, device};
pub use inspect::{Observed, inspect};
pub use withdraw::withdraw;

use crate::parking::MoveError;
use ipnet::IpNet;
use nestless_model::identity::{InterfaceName, Mac, Mtu};
use nestless_support::{
    netlink::{NetlinkError, Route},
    sysctl::SysctlError,
};
use std::net::IpAddr;

/// What a NIC is to be in its sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodNic {
    /// Plug-time address, to find it by.
    pub nic_mac: Mac,
    /// Its name there.
    pub interface: InterfaceName,
    /// The address it is to have.
    pub pod_mac: Mac,
    /// Largest packet.
    pub mtu: Mtu,
    /// Address and prefix length each.
    pub addresses: Vec<IpNet>,
    /// Through this NIC.
    pub routes: Vec<PodRoute>,
}

/// A route through a pod's NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodRoute {
    /// Where to.
    pub destination: IpNet,
    /// Next hop; `None`: on the link itself.
    pub gateway: Option<IpAddr>,
}

/// A route as it stands in a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxRoute {
    /// Where to, and how.
    pub route: PodRoute,
    /// Lower wins; `None`: nothing was said, or the kernel says nothing, which is 0.
    pub metric: Option<u32>,
    /// `None`: the main table.
    pub table: Option<u32>,
}

impl From<&Route> for SandboxRoute {
    fn from(route: &Route) -> Self {
        let Route { destination, gateway, metric, table, .. } = *route;
        Self { route: PodRoute { destination, gateway }, metric, table }
    }
}

/// A NIC could not be brought, or taken back.
#[derive(Debug, thiserror::Error)]
pub enum PodNicError {
    /// The name is taken. Nothing was changed.
    #[error("the sandbox has a link called {interface} already")]
    InterfaceExists {
        /// The name.
        interface: InterfaceName,
    },
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
