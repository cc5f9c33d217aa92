//! A pod network: what the operator writes, and what every other part reads of it.

mod check;

pub use check::{NetworkError, check};

use crate::{
    address::read,
    identity::{LinkName, MacPrefix, Mtu, NetworkName},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a network's bridge leaves the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uplink {
    /// The host routes, and hides the pods behind its own address. Works anywhere.
    Nat,
    /// The bridge stays on this host; the host is still the pods' gateway, if a subnet has one.
    None,
    /// A NIC of the host's becomes a port of the bridge: pods stand on the outer network itself.
    Interface(LinkName),
}

/// One address range of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    /// The whole subnet; pods get its prefix length.
    #[serde(deserialize_with = "read::prefix")]
    pub prefix: IpNet,
    /// The pods' next hop. Default: the first host address. On `nat` and `none` the bridge itself has it.
    #[serde(default, deserialize_with = "read::address_if_any")]
    pub gateway: Option<IpAddr>,
    /// First address to give out. Default: the first that is not the gateway.
    #[serde(default, deserialize_with = "read::address_if_any")]
    pub first: Option<IpAddr>,
    /// Last address to give out. Default: the last host address.
    #[serde(default, deserialize_with = "read::address_if_any")]
    pub last: Option<IpAddr>,
    /// Addresses never given out.
    #[serde(default, deserialize_with = "read::prefixes")]
    pub exclude: Vec<IpNet>,
}

impl Subnet {
    /// The pods' next hop: the one given, or the first host address.
    pub fn next_hop(&self) -> IpAddr {
        self.gateway.unwrap_or_else(|| match self.prefix.network() {
            IpAddr::V4(network) => Ipv4Addr::from(u32::from(network).wrapping_add(1)).into(),
            IpAddr::V6(network) => Ipv6Addr::from(u128::from(network).wrapping_add(1)).into(),
        })
    }
}

/// A pod network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// What CNI configurations and VMs name it by.
    pub name: NetworkName,
    /// The host's bridge; made if it does not exist.
    pub bridge: LinkName,
    /// How it leaves the host.
    #[serde(default = "Network::default_uplink")]
    pub uplink: Uplink,
    /// Agreed across bridge, TAP, NIC and pod.
    #[serde(default)]
    pub mtu: Mtu,
    /// At most one per family.
    pub subnets: Vec<Subnet>,
    /// Routes and addresses of the host's own that `subnets` may overlap.
    #[serde(default, deserialize_with = "read::prefixes", skip_serializing_if = "Vec::is_empty")]
    pub may_overlap: Vec<IpNet>,
    /// How long a released address rests, in seconds.
    #[serde(default = "Network::default_cool_down_s")]
    pub cool_down_s: u64,
    /// Name servers told to pods.
    #[serde(default, deserialize_with = "read::addresses")]
    pub dns: Vec<IpAddr>,
    /// MAC addresses that pods of any VM may ask for. Without them, and without a VM's own, each has its NIC's.
    #[serde(default)]
    pub macs: Vec<MacPrefix>,
}

impl Network {
    /// The next hop told to pods. On an outer network only the operator can know it.
    pub fn gateway(&self, subnet: &Subnet) -> Option<IpAddr> {
        match self.uplink {
            Uplink::Interface(_) => subnet.gateway,
            Uplink::Nat | Uplink::None => Some(subnet.next_hop()),
        }
    }

    /// What the bridge itself has: the next hop of each subnet, with the subnet's prefix length. Nothing where pods stand
    /// on an outer network, whose router is someone else's.
    pub fn host_addresses(&self) -> Vec<IpNet> {
        if matches!(self.uplink, Uplink::Interface(_)) {
            return Vec::new();
        }
        let own = |subnet: &Subnet| IpNet::new(subnet.next_hop(), subnet.prefix.prefix_len()).ok();
        self.subnets.iter().filter_map(own).collect()
    }

    fn default_uplink() -> Uplink {
        Uplink::Nat
    }

    fn default_cool_down_s() -> u64 {
        60
    }
}
