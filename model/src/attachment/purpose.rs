//! What a NIC is for: the one place that tells a pod's interface from a fraction's endpoint.
//!
//! A [`Wish`] is asked; with what the pools give for it, it becomes a [`Purpose`], which is kept in the ledger and told to
//! whoever asked. What its host end needs follows from it: `NicRecord::guarding` and `NicRecord::belongs_in_bridge`.

use crate::{
    address::AddressRequest,
    guard::GuardRules,
    identity::Mac,
    loopback::{JoinWish, Membership},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A pod's interface.
    Pod(AddressRequest),
    /// A fraction's endpoint: a place in a loopback group, and no address.
    Endpoint(JoinWish),
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(_) => f.write_str("pod"),
            Self::Endpoint(JoinWish { group, fraction, .. }) => {
                write!(f, "fraction {fraction} of group {group}")
            }
        }
    }
}

/// What a NIC serves, with what the pools hold for that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Held", into = "Held")]
pub enum Purpose {
    /// A pod's interface: in its network's bridge, behind the guard.
    Pod {
        /// With their subnet's prefix length.
        addresses: Vec<IpNet>,
        /// A MAC address that the pod asked for.
        mac: Option<Mac>,
    },
    /// A fraction's endpoint: in no bridge, behind the reflector.
    Endpoint(Membership),
}

/// A pod's interface for which nothing is held yet, which is what a spare NIC is made to become.
impl Default for Purpose {
    fn default() -> Self {
        Self::Pod { addresses: Vec::new(), mac: None }
    }
}

impl Purpose {
    /// The pools hold nothing for it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// With their subnet's prefix length; an endpoint has none.
    pub fn addresses(&self) -> &[IpNet] {
        match self {
            Self::Pod { addresses, .. } => addresses,
            Self::Endpoint(_) => &[],
        }
    }

    /// The addresses without prefix length.
    pub fn ips(&self) -> Vec<IpAddr> {
        self.addresses().iter().map(IpNet::addr).collect()
    }

    /// The same less some addresses.
    #[must_use]
    pub fn without(self, out: impl Fn(IpAddr) -> bool) -> Self {
        match self {
            Self::Pod { mut addresses, mac } => {
                addresses.retain(|address| !out(address.addr()));
                Self::Pod { addresses, mac }
            }
            Self::Endpoint(_) => self,
        }
    }

    /// The MAC address that was asked for.
    pub fn mac(&self) -> Option<Mac> {
        match self {
            Self::Pod { mac, .. } => *mac,
            Self::Endpoint(_) => None,
        }
    }

    /// An endpoint's place in its group.
    pub fn membership(&self) -> Option<&Membership> {
        match self {
            Self::Pod { .. } => None,
            Self::Endpoint(membership) => Some(membership),
        }
    }
}

/// What becomes of what the guest sends by a NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guarding {
    /// Drops everything.
    Closed,
    /// Lets out what the rules allow.
    Open(GuardRules),
    /// The reflector stands in the guard's place: everything goes to the other endpoints of the group, or nowhere.
    Reflected(Membership),
}

/// A purpose as ledgers have it, from the first one on: another purpose is another optional field.
#[derive(Serialize, Deserialize)]
struct Held {
    addresses: Vec<IpNet>,
    pod_mac: Option<Mac>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loopback: Option<Membership>,
}

impl From<Held> for Purpose {
    fn from(Held { addresses, pod_mac, loopback }: Held) -> Self {
        match loopback {
            Some(membership) => Self::Endpoint(membership),
            None => Self::Pod { addresses, mac: pod_mac },
        }
    }
}

impl From<Purpose> for Held {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Pod { addresses, mac } => Self { addresses, pod_mac: mac, loopback: None },
            Purpose::Endpoint(membership) => {
                Self { addresses: Vec::new(), pod_mac: None, loopback: Some(membership) }
            }
        }
    }
}
