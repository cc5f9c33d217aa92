//! What the guard on a NIC's host end lets through.

use crate::identity::Mac;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How many addresses of each family one NIC may use (the in-kernel table has this many places).
pub const MAX_ADDRESSES_PER_FAMILY: usize = 8;

/// What one NIC may send. A spare NIC has none of this and may send nothing at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardRules {
    /// The only source address of its frames, ARP sender and ND link-layer option included.
    pub mac: Mac,
    /// The only IP sources, besides the link-local address derived from `mac`.
    pub addresses: Vec<IpAddr>,
    /// May answer as a DHCP or DHCPv6 server.
    #[serde(default)]
    pub dhcp_server: bool,
    /// May send router advertisements and redirects.
    #[serde(default)]
    pub router: bool,
    /// Limit on what the pod sends.
    #[serde(default)]
    pub egress: Option<RateLimit>,
    /// Limit on what the pod receives.
    #[serde(default)]
    pub ingress: Option<RateLimit>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Long-term rate.
    pub bits_per_second: u64,
    /// How much may go at once.
    pub burst_bits: u64,
}

/// Limits by direction, as the pod sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// On what the pod receives.
    pub ingress: Option<RateLimit>,
    /// On what the pod sends.
    pub egress: Option<RateLimit>,
}
