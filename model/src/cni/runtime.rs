//! `runtimeConfig`: what the runtime asks for one container, by the capabilities of CONVENTIONS.md.

use super::{CniError, Dns, node::Node};
use crate::{
    address::{RequestedAddress, check_requested},
    guard::{Bandwidth, RateLimit},
    identity::Mac,
    port_mapping::{PortMapping, Protocol, check_own},
    refusal::Reason,
};

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
    let expected = "a list of addresses such as [\"10.78.0.7/16\", \"fd00:78::7\"]";
    let items = node.items(expected)?;
    check_requested(items.len()).map_err(|error| node.unsupported(&error.to_string()))?;
    let expected = "an address such as \"10.78.0.7/16\" or \"fd00:78::7\"";
    items.iter().map(|item| item.parse_or_why(expected)).collect()
}

/// CRI-O writes 2^31-1 and containerd 2^32-1 when only a rate was asked for. Taken at its word, that burst would let half a
/// gigabyte through before the limit is felt.
const NO_BURST_ASKED: u64 = (1 << 31) - 1;
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
        (_, NO_BURST_ASKED..) => Ok(Some(RateLimit { bits_per_second, burst_bits: bits_per_second / 10 })),
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
        mappings.push(parse_mapping(item)?);
    }
    check_own(&mappings)
        .map_err(|clash| CniError::new(Reason::Invalid, format!("{}: {clash}", node.path())))?;
    Ok(mappings)
}

/// Runtimes leave out what a container does not publish; a port 0 is nothing that could be mapped.
fn parse_mapping(node: &Node<'_>) -> Result<PortMapping, CniError> {
    let port = |key: &str| {
        let expected = "a port number between 1 and 65535";
        let number = node.need(key, expected)?;
        match number.integer::<u16>(expected)? {
            0 => Err(number.wrong(expected)),
            port => Ok(port),
        }
    };
    let (host_port, container_port) = (port("hostPort")?, port("containerPort")?);
    let protocol = match node.get("protocol")? {
        None => Protocol::Tcp,
        Some(name) => match name.text("\"tcp\" or \"udp\"")?.to_ascii_lowercase().as_str() {
            "" | "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(name.unsupported("only \"tcp\" and \"udp\" ports can be mapped")),
        },
    };
    let host_ip = match node.get("hostIP")?.filter(|ip| ip.value() != "") {
        None => None,
        Some(ip) => Some(ip.address("an address of the VM, or an empty string for all")?),
    };
    Ok(PortMapping { host_port, container_port, protocol, host_ip })
}
