//! One effect on the host's network, and the sentence that tells of it.

use super::rules::Rule;
use ipnet::IpNet;
use nestless_model::identity::{LinkName, Mtu};
use std::fmt;

/// One effect. A step says all that its execution needs, and its `Display` is one line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FabricStep {
    /// Make a bridge that learns and forwards, and nothing more.
    CreateBridge {
        /// Its name.
        bridge: LinkName,
        /// Its address, which must not change as ports come and go.
        mac: [u8; 6],
    },
    /// Turn off what makes a bridge hold a port's frames back.
    ForwardAtOnce {
        /// Its name.
        bridge: LinkName,
    },
    /// Write one kernel setting.
    SetSysctl {
        /// The path below `/proc/sys`.
        key: String,
        /// What to write.
        value: &'static str,
    },
    /// Set a link's MTU.
    SetMtu {
        /// The bridge or the uplink's NIC.
        link: LinkName,
        /// To this.
        mtu: Mtu,
    },
    /// Set a link up.
    SetUp {
        /// The bridge or the uplink's NIC.
        link: LinkName,
    },
    /// Take an address away that the network no longer has.
    RemoveAddress {
        /// Which bridge.
        bridge: LinkName,
        /// Which address.
        address: IpNet,
    },
    /// Give the bridge the pods' next hop.
    AddAddress {
        /// Which bridge.
        bridge: LinkName,
        /// Which address.
        address: IpNet,
    },
    /// Make the uplink's NIC a port.
    Enslave {
        /// The NIC.
        link: LinkName,
        /// The bridge.
        bridge: LinkName,
    },
    /// Delete a bridge of ours.
    DeleteBridge {
        /// Its name.
        bridge: LinkName,
    },
    /// Put the whole table of rules in place, at one stroke.
    SetRules {
        /// Its name.
        table: String,
        /// All of it.
        rules: Vec<Rule>,
    },
    /// Delete the table of rules.
    DeleteRules {
        /// Its name.
        table: String,
    },
}

impl FabricStep {
    /// The step's kind, as crash points name it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::CreateBridge { .. } => "create-bridge",
            Self::ForwardAtOnce { .. } => "forward-at-once",
            Self::SetSysctl { .. } => "set-sysctl",
            Self::SetMtu { .. } => "set-mtu",
            Self::SetUp { .. } => "set-up",
            Self::RemoveAddress { .. } => "remove-address",
            Self::AddAddress { .. } => "add-address",
            Self::Enslave { .. } => "enslave",
            Self::DeleteBridge { .. } => "delete-bridge",
            Self::SetRules { .. } => "set-rules",
            Self::DeleteRules { .. } => "delete-rules",
        }
    }
}

impl fmt::Display for FabricStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateBridge { bridge, .. } => write!(f, "create bridge {bridge}"),
            Self::ForwardAtOnce { bridge } => {
                write!(f, "turn STP, forward delay and multicast snooping of {bridge} off")
            }
            Self::SetSysctl { key, value } => write!(f, "set {key} to {value}"),
            Self::SetMtu { link, mtu } => write!(f, "set MTU of {link} to {}", mtu.bytes()),
            Self::SetUp { link } => write!(f, "set {link} up"),
            Self::RemoveAddress { bridge, address } => write!(f, "remove address {address} from {bridge}"),
            Self::AddAddress { bridge, address } => write!(f, "add address {address} to {bridge}"),
            Self::Enslave { link, bridge } => write!(f, "make {link} a port of {bridge}"),
            Self::DeleteBridge { bridge } => write!(f, "delete bridge {bridge}"),
            Self::SetRules { table, rules } => {
                let rules: Vec<String> = rules.iter().map(Rule::to_string).collect();
                write!(f, "set nftables table {table}: {}", rules.join("; "))
            }
            Self::DeleteRules { table } => write!(f, "delete nftables table {table}"),
        }
    }
}
