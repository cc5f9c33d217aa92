//! The packet rules that the networks need, as data.
//!
//! Forwarding is one switch for the whole host. Once one network needs it, the rules must keep the others from being
//! routed: a network that stays on the host, and a flat one whose pods could otherwise use the host as a router.
//!
//! With `br_netfilter` loaded, frames that a bridge merely switches pass these chains too, with the bridge as both their
//! ways: no rule may touch those.

use ipnet::IpNet;
use nestless_model::{
    identity::LinkName,
    network::{Network, Uplink},
};
use std::fmt;

/// One rule. Its `Display` is also the comment that it carries in the kernel, and by which it is recognised there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nothing is routed out of this bridge.
    DropFrom {
        /// Which bridge.
        bridge: LinkName,
    },
    /// Nothing is routed into this bridge.
    DropTo {
        /// Which bridge.
        bridge: LinkName,
    },
    /// Pods see each other's own addresses, across networks too.
    KeepSource {
        /// Where to.
        destination: IpNet,
    },
    /// Pods look like the host to everyone else.
    Masquerade {
        /// Where from.
        source: IpNet,
        /// The pods' own bridge, where they are themselves.
        bridge: LinkName,
    },
}

/// Where a rule hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Whether a packet is routed at all.
    Forward,
    /// What a packet looks like when it leaves.
    Postrouting,
}

impl Rule {
    /// Where it hangs.
    pub fn chain(&self) -> Chain {
        match self {
            Self::DropFrom { .. } | Self::DropTo { .. } => Chain::Forward,
            Self::KeepSource { .. } | Self::Masquerade { .. } => Chain::Postrouting,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropFrom { bridge } => write!(f, "route nothing out of {bridge}"),
            Self::DropTo { bridge } => write!(f, "route nothing into {bridge}"),
            Self::KeepSource { destination } => write!(f, "keep sources towards {destination}"),
            Self::Masquerade { source, bridge } => write!(f, "masquerade {source} beyond {bridge}"),
        }
    }
}

/// The rules of all networks: chain by chain, and in each in the order in which they must stand.
pub fn rules(networks: &[Network]) -> Vec<Rule> {
    let (routed, closed): (Vec<_>, Vec<_>) =
        networks.iter().partition(|network| network.uplink == Uplink::Nat);
    let mut rules = Vec::new();
    for network in closed {
        rules.push(Rule::DropFrom { bridge: network.bridge.clone() });
        rules.push(Rule::DropTo { bridge: network.bridge.clone() });
    }
    let prefixes = || {
        routed
            .iter()
            .flat_map(|network| network.subnets.iter().map(|subnet| (&network.bridge, subnet.prefix)))
    };
    rules.extend(prefixes().map(|(_, destination)| Rule::KeepSource { destination }));
    rules.extend(prefixes().map(|(bridge, source)| Rule::Masquerade { source, bridge: bridge.clone() }));
    rules
}
