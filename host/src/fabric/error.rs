//! What can go wrong with the fabric.

use ipnet::IpNet;
use nestless_model::{
    identity::{LinkName, NetworkName},
    network::NetworkError,
};
use nestless_support::{netlink::NetlinkError, sysctl::SysctlError};
use std::io;

/// A failure of the fabric, with what was tried in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FabricError {
    /// The instance's name goes into the names of kernel objects.
    #[error("{instance:?} cannot name an instance: expected 1 to 32 letters, digits, '_', '.' or '-'")]
    Instance {
        /// What was given.
        instance: String,
    },
    /// The configuration cannot be.
    #[error("the configured networks cannot be")]
    Networks {
        /// Why.
        #[source]
        source: NetworkError,
    },
    /// No access to the kernel's network configuration.
    #[error("reach the host's network configuration")]
    Open {
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// Looking failed.
    #[error("look at the host's links and addresses")]
    Observe {
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// Subnets are others' already.
    #[error("{}", clashes.iter().map(Clash::to_string).collect::<Vec<_>>().join("; "))]
    Clashes {
        /// Each of them.
        clashes: Vec<Clash>,
    },
    /// Something is in the way.
    #[error("bring the networks up")]
    Plan {
        /// Why.
        #[source]
        source: PlanError,
    },
    /// A step failed. Those before it stay done; the next `up` goes on from there.
    #[error("{step}")]
    Step {
        /// What was to be done.
        step: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Steps of a teardown failed; the others were done.
    #[error("take the networks down: {} steps failed", failures.len())]
    Down {
        /// Each of them.
        failures: Vec<FabricError>,
    },
    /// No such network.
    #[error("bridge {bridge} of the network does not exist: bring the networks up first")]
    NoBridge {
        /// Its bridge.
        bridge: LinkName,
        /// What the kernel said.
        #[source]
        source: NetlinkError,
    },
    /// A NIC's host end could not be taken out of its bridge, or set up.
    #[error("take {link} out of any bridge and set it up")]
    Isolate {
        /// The NIC's host end.
        link: LinkName,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// A NIC's host end would speak IPv6 to the pod.
    #[error("switch IPv6 off on {link}")]
    Silence {
        /// The NIC's host end.
        link: String,
        /// Why.
        #[source]
        source: SysctlError,
    },
    /// A NIC's host end could not be put into its bridge.
    #[error("join {link} to {bridge}")]
    Enslave {
        /// The NIC's host end.
        link: LinkName,
        /// The bridge.
        bridge: LinkName,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// A NIC's host end could not be taken out of its bridge.
    #[error("take {link} out of its bridge")]
    Leave {
        /// The NIC's host end.
        link: LinkName,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// nftables' program is not there.
    #[error(
        "nft is not installed, and networks need it to keep what they route apart: install the package nftables"
    )]
    NftMissing {
        /// Why it could not be started.
        #[source]
        source: io::Error,
    },
    /// nftables' program refused.
    #[error("nft cannot {operation}: {message}")]
    Nft {
        /// What was tried.
        operation: String,
        /// What it said; "Operation not permitted" means that CAP_NET_ADMIN is missing.
        message: String,
    },
    /// nftables' program says what we do not understand.
    #[error("read what nft lists of {table}")]
    NftOutput {
        /// Which table.
        table: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Why there is no way from what is to what should be. Nothing is changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Someone else's link has the bridge's name.
    #[error(
        "network {network}: {bridge} exists and is a {kind}, not a bridge: rename it, or choose another `bridge`"
    )]
    NotABridge {
        /// Which network.
        network: NetworkName,
        /// The name.
        bridge: LinkName,
        /// What has it.
        kind: String,
    },
    /// No such NIC.
    #[error("network {network}: `uplink` interface {interface} does not exist on this host")]
    NoUplink {
        /// Which network.
        network: NetworkName,
        /// The NIC.
        interface: LinkName,
    },
    /// The NIC serves another bridge.
    #[error(
        "network {network}: `uplink` interface {interface} is a port of {master} already: take it out there first (ip link set {interface} nomaster)"
    )]
    UplinkTaken {
        /// Which network.
        network: NetworkName,
        /// The NIC.
        interface: LinkName,
        /// What it belongs to.
        master: String,
    },
    /// A host that forwards takes no advice from routers, unless it is told to.
    #[error(
        "network {network}: the host's IPv6 route through {interface} comes from router advertisements, which a host that forwards ignores: set net.ipv6.conf.{interface}.accept_ra to 2 first"
    )]
    Deaf {
        /// Which network needs forwarding.
        network: NetworkName,
        /// Whose route would be lost.
        interface: String,
    },
    /// The host itself lives on the NIC.
    #[error(
        "network {network}: `uplink` interface {interface} has the host's address {address}, which would stop working: move it to another link first"
    )]
    UplinkInUse {
        /// Which network.
        network: NetworkName,
        /// The NIC.
        interface: LinkName,
        /// What it has.
        address: IpNet,
    },
}

/// A subnet that somebody else on this host has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "network {network}: `prefix` {prefix} overlaps {found}: choose another prefix, or name {theirs} in `may_overlap`"
)]
pub struct Clash {
    /// Which network.
    pub network: NetworkName,
    /// Its prefix.
    pub prefix: IpNet,
    /// Whose it is, in words.
    pub found: String,
    /// The other's prefix.
    pub theirs: IpNet,
}
