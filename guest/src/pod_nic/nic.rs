//! What a NIC is to be in its sandbox.

use ipnet::IpNet;
use nestless_model::identity::{InterfaceName, Mac, Mtu};
use nestless_support::netlink::Route;
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
