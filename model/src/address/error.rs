//! Why no address was given.

use super::wish::Family;
use crate::identity::{Mac, NetworkName, VmName};
use ipnet::IpNet;
use std::net::IpAddr;

/// Why no address was given. Nothing was changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the objects named in each message")]
pub enum ClaimError {
    /// A subnet is used up.
    #[error("network {network}: no free address in {prefix}; {cooling} cool down after use{}", next_in(*next_free_in_s))]
    Exhausted { network: NetworkName, prefix: IpNet, cooling: u64, next_free_in_s: Option<u64> },
    /// A static address is another pod's.
    #[error("network {network}: {address} is in use by another pod")]
    AddressInUse { network: NetworkName, address: IpAddr },
    /// A static address was another pod's a moment ago.
    #[error("network {network}: {address} cools down after use, and is free in {free_in_s} s")]
    Cooling { network: NetworkName, address: IpAddr, free_in_s: u64 },
    /// A VM's pods come and go faster than addresses come round.
    #[error(
        "network {network}: {resting} addresses cool down after pods of this VM, more than are free for all; the next is free in {free_in_s} s"
    )]
    Restless { network: NetworkName, resting: u64, free_in_s: u64 },
    /// It is kept for another VM, or by this one for a NIC of its own.
    #[error("network {network}: {address} is reserved for VM {vm}")]
    Reserved { network: NetworkName, address: IpAddr, vm: VmName },
    /// A static address that pods never get.
    #[error("network {network}: {address} is the gateway's, excluded, or outside the range given to pods")]
    NotForPods { network: NetworkName, address: IpAddr },
    /// A static address of no subnet.
    #[error("network {network}: {address} lies in none of its subnets ({subnets})")]
    Outside { network: NetworkName, address: IpAddr, subnets: String },
    /// The guest cannot use what was asked for, or all that there is.
    #[error(
        "network {network}: the VM's kernel has no {family}, and {what}: boot it without ipv6.disable=1, or use another network or address"
    )]
    UselessFamily { network: NetworkName, family: Family, what: String },
    /// A family that the network does not have.
    #[error("network {network} has no {family} subnet")]
    NoSubnet { network: NetworkName, family: Family },
    /// Two static addresses of one subnet.
    #[error("network {network}: {address} is the second address asked of its subnet; ask for one of each")]
    TwoOfOneSubnet { network: NetworkName, address: IpAddr },
    /// The MAC address is another pod's.
    #[error("network {network}: MAC address {mac} is in use by another pod")]
    MacInUse { network: NetworkName, mac: Mac },
    /// The MAC address is something's that is no pod.
    #[error("network {network}: MAC address {mac} is in use elsewhere: {place}")]
    MacElsewhere { network: NetworkName, mac: Mac, place: String },
    /// The operator did not foresee it.
    #[error(
        "network {network}: MAC address {mac} is none that VM {vm} may ask for ({}): leave it out, or have the operator add its beginning to `macs` of the network or the VM in nestlessd's configuration",
        if allowed.is_empty() { "it may ask for none".to_owned() } else { format!("it may ask for those that begin with {allowed}") }
    )]
    MacNotAllowed { network: NetworkName, mac: Mac, vm: VmName, allowed: String },
}

fn next_in(seconds: Option<u64>) -> String {
    seconds.map(|s| format!(", the next is free in {s} s")).unwrap_or_default()
}
