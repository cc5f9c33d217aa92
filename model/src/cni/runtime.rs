//! `runtimeConfig`: what the runtime asks for one container, by the capabilities of CONVENTIONS.md.

use super::{CniError, Dns, node::Node};
use crate::{
    address::{RequestedAddress, check_requested},
    guard::{Bandwidth, RateLimit},
    identity::Mac,
    port_mapping::{PortMapping, Protocol},
};
use std::net::IpAddr;

/// The capabilities `ips`, `mac`, `bandwidth`, `portMappings` and `dns`. Others are left to other plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Addresses asked for; none: any.
    pub ips: Vec<RequestedAddress>,
    /// Address the pod's interface is to have.
    pub mac: Option<Mac>,
    /// Limits on the pod's traffic.
    pub bandwidth: Bandwidth,
    /// Ports of the VM that lead to the pod.
    pub port_mappings: Vec<PortMapping>,
    /// Resolver settings that replace the network's.
    pub dns: Option<Dns>,
}

impl RuntimeConfig {
    pub(super) fn parse(node: &Node<'_>) -> Result<Self, CniError> {
        Ok(Self {
            ips: match node.get("ips")? {
                Some(ips) => parse_ips(&ips)?,
                None => Vec::new(),
            },
            mac: match node.get("mac")?.filter(|mac| mac.value() != "") {
                Some(mac) => Some(mac.parse("a unicast MAC address such as \"02:00:5e:10:00:01\"")?),
                None => None,
            },
            bandwidth: match node.get("bandwidth")? {
                Some(bandwidth) => Bandwidth {
                    ingress: parse_shape(&bandwidth, "ingressRate", "ingressBurst")?,
                    egress: parse_shape(&bandwidth, "egressRate", "egressBurst")?,
                },
                None => Bandwidth::default(),
            },
            port_mappings: match node.get("portMappings")? {
                Some(mappings) => parse_mappings(&mappings)?,
                None => Vec::new(),
            },
            dns: match node.get("dns")? {
                Some(dns) => Some(Dns::parse_capability(&dns)?),
                None => None,
            },
        })
    }
}

fn parse_ips(node: &Node<'_>) -> Result<Vec<RequestedAddress>, CniError> {
    let expected = "a list of addresses such as [\"10.88.0.7/16\", \"fd00:88::7\"]";
    let items = node.items(expected)?;
    check_requested(items.len()).map_err(|error| node.unsupported(&error.to_string()))?;
    items.iter().map(|item| item.parse("an address such as \"10.88.0.7/16\" or \"fd00:88::7\"")).collect()
}

/// CRI-O writes 2^31-1 and containerd 2^32-1 when only a rate was asked for. Taken at its word, that burst would let half a
/// gigabyte through before the limit is felt.
const NO_BURST_ASKED: u64 = (1 << 31) - 1;
/// Two of the largest frames that segmentation offload makes.
const LEAST_BURST_BITS: u64 = 1 << 20;

fn parse_shape(node: &Node<'_>, rate_key: &str, burst_key: &str) -> Result<Option<RateLimit>, CniError> {
    let read = |key: &str, unit: &str| match node.get(key)? {
        Some(number) => number.number(&format!("a whole number of {unit}, 0 for no limit")),
        None => Ok(0),
    };
    let (bits_per_second, burst_bits) = (read(rate_key, "bits per second")?, read(burst_key, "bits")?);
    match (bits_per_second, burst_bits) {
        (0, 0) => Ok(None),
        (0, _) => Err(node.wrong(&format!("{rate_key} above 0 where {burst_key} is given"))),
        (_, 0) => Err(node.wrong(&format!("{burst_key} above 0 where {rate_key} is given"))),
        (_, NO_BURST_ASKED..) => {
            let burst_bits = (bits_per_second / 10).max(LEAST_BURST_BITS);
            Ok(Some(RateLimit { bits_per_second, burst_bits }))
        }
        _ => Ok(Some(RateLimit { bits_per_second, burst_bits })),
    }
}

/// Containers with more published ports than this are taken for a mistake, not a wish.
const MAX_PORT_MAPPINGS: usize = 1024;

fn parse_mappings(node: &Node<'_>) -> Result<Vec<PortMapping>, CniError> {
    let items = node.items("a list of port mappings")?;
    if items.len() > MAX_PORT_MAPPINGS {
        return Err(node.unsupported("at most 1024 port mappings can be made for one container"));
    }
    let mut mappings = Vec::with_capacity(items.len());
    for item in &items {
        // A container port that is not published has host port 0 (CONVENTIONS.md leaves it in the list).
        if let Some(mapping) = parse_mapping(item)? {
            mappings.push(mapping);
        }
    }
    Ok(mappings)
}

fn parse_mapping(node: &Node<'_>) -> Result<Option<PortMapping>, CniError> {
    let port = "a port number between 1 and 65535";
    let host_port: u16 = match node.get("hostPort")? {
        Some(number) => number.integer("a port number between 0 and 65535")?,
        None => 0,
    };
    if host_port == 0 {
        return Ok(None);
    }
    let container = node.need("containerPort", port)?;
    let container_port: u16 = container.integer(port)?;
    if container_port == 0 {
        return Err(container.wrong(port));
    }
    let protocol = match node.get("protocol")? {
        None => Protocol::Tcp,
        Some(name) => match name.text("\"tcp\", \"udp\" or \"sctp\"")?.to_ascii_lowercase().as_str() {
            "" | "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(name.unsupported("only \"tcp\", \"udp\" and \"sctp\" ports can be mapped")),
        },
    };
    let host_ip = match node.get("hostIP")?.filter(|ip| ip.value() != "") {
        None => None,
        Some(ip) => Some(ip.parse::<IpAddr>("an address of the VM, or an empty string for all")?)
            .filter(|ip| !ip.is_unspecified()),
    };
    Ok(Some(PortMapping { host_port, container_port, protocol, host_ip }))
}
