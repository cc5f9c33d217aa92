//! Whether the networks an operator wrote can be, each by itself and all together.

use super::{Network, Subnet, Uplink};
use crate::identity::{LinkName, NetworkName, NicId};
use ipnet::IpNet;
use std::net::IpAddr;

/// What is wrong with a configured network. Each message names the network and the key to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Two networks of one name.
    #[error("two networks are called {network}: give one of them another `name`")]
    SameName {
        /// The name.
        network: NetworkName,
    },
    /// Two networks on one bridge.
    #[error("networks {network} and {other} both have `bridge` {bridge}: give each its own")]
    SameBridge {
        /// The later one.
        network: NetworkName,
        /// The earlier one.
        other: NetworkName,
        /// What they share.
        bridge: LinkName,
    },
    /// A bridge whose name is kept for NICs.
    #[error(
        "network {network}: `bridge` {bridge} looks like a NIC's link (\"nl\" and a hex number): choose another"
    )]
    BridgeNamedLikeNic {
        /// Which network.
        network: NetworkName,
        /// Its bridge.
        bridge: LinkName,
    },
    /// An uplink that cannot be one.
    #[error(
        "network {network}: `uplink` interface {interface} is a NIC's link or a network's bridge: name a NIC of the host"
    )]
    UplinkIsOurs {
        /// Which network.
        network: NetworkName,
        /// The link named.
        interface: LinkName,
    },
    /// Two networks with one uplink NIC.
    #[error(
        "networks {network} and {other} both have `uplink` interface {interface}: a NIC is a port of one bridge only"
    )]
    SameUplink {
        /// The later one.
        network: NetworkName,
        /// The earlier one.
        other: NetworkName,
        /// What they share.
        interface: LinkName,
    },
    /// No subnet at all.
    #[error("network {network}: `subnets` is empty: pods need an address")]
    NoSubnet {
        /// Which network.
        network: NetworkName,
    },
    /// Two subnets of one family.
    #[error("network {network}: `subnets` has both {first} and {second}: at most one of each family")]
    TwoOfOneFamily {
        /// Which network.
        network: NetworkName,
        /// The earlier one.
        first: IpNet,
        /// The later one.
        second: IpNet,
    },
    /// A prefix with an address in it.
    #[error("network {network}: `prefix` {prefix} has host bits set: write {}", prefix.trunc())]
    HostBits {
        /// Which network.
        network: NetworkName,
        /// Its prefix.
        prefix: IpNet,
    },
    /// No room for a gateway and a pod.
    #[error(
        "network {network}: `prefix` {prefix} is too small for a gateway and a pod: at most /30 (IPv4) or /126 (IPv6)"
    )]
    TooSmall {
        /// Which network.
        network: NetworkName,
        /// Its prefix.
        prefix: IpNet,
    },
    /// Addresses that pods cannot have.
    #[error(
        "network {network}: `prefix` {prefix} is loopback, link-local, multicast or unspecified: no pod can use it"
    )]
    Unusable {
        /// Which network.
        network: NetworkName,
        /// Its prefix.
        prefix: IpNet,
    },
    /// Two networks that a router could not tell apart.
    #[error("network {network}: `prefix` {prefix} overlaps {other_prefix} of network {other}")]
    Overlap {
        /// The later one.
        network: NetworkName,
        /// Its prefix.
        prefix: IpNet,
        /// The earlier one.
        other: NetworkName,
        /// Its prefix.
        other_prefix: IpNet,
    },
    /// An address outside its subnet.
    #[error("network {network}: `{key}` {address} is no host address of {prefix}")]
    Outside {
        /// Which network.
        network: NetworkName,
        /// Which key: gateway, first, last.
        key: &'static str,
        /// What it says.
        address: IpAddr,
        /// The subnet.
        prefix: IpNet,
    },
    /// An empty range.
    #[error("network {network}: `first` {first} comes after `last` {last}")]
    Reversed {
        /// Which network.
        network: NetworkName,
        /// First address to give out.
        first: IpAddr,
        /// Last one.
        last: IpAddr,
    },
    /// An exclusion of something that is not there.
    #[error("network {network}: `exclude` {exclude} is not inside {prefix}")]
    ExcludeOutside {
        /// Which network.
        network: NetworkName,
        /// What was to be left out.
        exclude: IpNet,
        /// The subnet.
        prefix: IpNet,
    },
}

/// Checks all networks of a host.
///
/// # Errors
/// The first thing that is wrong, in the order in which the operator wrote them.
pub fn check(networks: &[Network]) -> Result<(), NetworkError> {
    for (position, network) in networks.iter().enumerate() {
        check_links(network, networks)?;
        check_subnets(network)?;
        for other in &networks[..position] {
            check_pair(network, other)?;
        }
    }
    Ok(())
}

fn check_links(network: &Network, all: &[Network]) -> Result<(), NetworkError> {
    let name = || network.name.clone();
    if NicId::from_link_name(network.bridge.as_str()).is_some() {
        return Err(NetworkError::BridgeNamedLikeNic { network: name(), bridge: network.bridge.clone() });
    }
    if let Uplink::Interface(interface) = &network.uplink {
        let ours = NicId::from_link_name(interface.as_str()).is_some()
            || all.iter().any(|other| other.bridge == *interface);
        if ours {
            return Err(NetworkError::UplinkIsOurs { network: name(), interface: interface.clone() });
        }
    }
    Ok(())
}

fn check_subnets(network: &Network) -> Result<(), NetworkError> {
    let name = || network.name.clone();
    if network.subnets.is_empty() {
        return Err(NetworkError::NoSubnet { network: name() });
    }
    for (position, subnet) in network.subnets.iter().enumerate() {
        let same_family = |other: &&Subnet| other.prefix.addr().is_ipv4() == subnet.prefix.addr().is_ipv4();
        if let Some(earlier) = network.subnets[..position].iter().find(same_family) {
            let (first, second) = (earlier.prefix, subnet.prefix);
            return Err(NetworkError::TwoOfOneFamily { network: name(), first, second });
        }
        check_prefix(network, subnet.prefix)?;
        check_addresses(network, subnet)?;
    }
    Ok(())
}

fn check_prefix(network: &Network, prefix: IpNet) -> Result<(), NetworkError> {
    let name = || network.name.clone();
    if prefix != prefix.trunc() {
        return Err(NetworkError::HostBits { network: name(), prefix });
    }
    if prefix.prefix_len() > prefix.max_prefix_len() - 2 {
        return Err(NetworkError::TooSmall { network: name(), prefix });
    }
    let unusable = match prefix.network() {
        IpAddr::V4(a) => a.is_loopback() || a.is_link_local() || a.is_multicast() || a.is_unspecified(),
        IpAddr::V6(a) => {
            a.is_loopback() || a.is_unicast_link_local() || a.is_multicast() || a.is_unspecified()
        }
    };
    if unusable { Err(NetworkError::Unusable { network: name(), prefix }) } else { Ok(()) }
}

fn check_addresses(network: &Network, subnet: &Subnet) -> Result<(), NetworkError> {
    let name = || network.name.clone();
    let prefix = subnet.prefix;
    // On an outer network the router is often known by its link-local address only.
    let outer = matches!(network.uplink, Uplink::Interface(_));
    let link_local = |address| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let keys = [("gateway", subnet.gateway), ("first", subnet.first), ("last", subnet.last)];
    for (key, address) in keys.into_iter().filter_map(|(key, address)| Some((key, address?))) {
        let outer_router = key == "gateway" && outer && prefix.addr().is_ipv6() && link_local(address);
        if !is_host(prefix, address) && !outer_router {
            return Err(NetworkError::Outside { network: name(), key, address, prefix });
        }
    }
    if let (Some(first), Some(last)) = (subnet.first, subnet.last)
        && first > last
    {
        return Err(NetworkError::Reversed { network: name(), first, last });
    }
    match subnet.exclude.iter().find(|exclude| !prefix.contains(*exclude)) {
        Some(exclude) => Err(NetworkError::ExcludeOutside { network: name(), exclude: *exclude, prefix }),
        None => Ok(()),
    }
}

/// Inside, and neither the subnet itself (in IPv6 the anycast address of its routers) nor its broadcast address.
fn is_host(prefix: IpNet, address: IpAddr) -> bool {
    let broadcast = address.is_ipv4() && address == prefix.broadcast();
    prefix.contains(&address) && address != prefix.network() && !broadcast
}

fn check_pair(network: &Network, other: &Network) -> Result<(), NetworkError> {
    if network.name == other.name {
        return Err(NetworkError::SameName { network: network.name.clone() });
    }
    let (name, other_name) = (network.name.clone(), other.name.clone());
    if network.bridge == other.bridge {
        let bridge = network.bridge.clone();
        return Err(NetworkError::SameBridge { network: name, other: other_name, bridge });
    }
    if let (Uplink::Interface(one), Uplink::Interface(two)) = (&network.uplink, &other.uplink)
        && one == two
    {
        return Err(NetworkError::SameUplink { network: name, other: other_name, interface: one.clone() });
    }
    for subnet in &network.subnets {
        for other_subnet in &other.subnets {
            let (prefix, other_prefix) = (subnet.prefix, other_subnet.prefix);
            if prefix.contains(&other_prefix) || other_prefix.contains(&prefix) {
                return Err(NetworkError::Overlap { network: name, prefix, other: other_name, other_prefix });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct File {
        network: Vec<Network>,
    }

    /// The error for two networks: a sound one, and one written as `keys`.
    fn error_of(keys: &str) -> String {
        let text = format!(
            "[[network]]\nname = \"pods\"\nbridge = \"br-pods\"\nsubnets = [{{ prefix = \"10.78.0.0/16\" }}]\n\
             [[network]]\n{keys}"
        );
        check(&toml::from_str::<File>(&text).unwrap().network).unwrap_err().to_string()
    }

    fn with_subnet(subnet: &str) -> String {
        error_of(&format!("name = \"b\"\nbridge = \"br-b\"\nsubnets = [{{ {subnet} }}]"))
    }

    #[test]
    fn sound_networks_pass() {
        let text = r#"
            [[network]]
            name = "pods"
            bridge = "br-pods"
            subnets = [{ prefix = "10.78.0.0/16", first = "10.78.1.0", last = "10.78.1.255", exclude = ["10.78.1.7/32"] },
                       { prefix = "fd00:78::/64" }]
            [[network]]
            name = "flat"
            bridge = "br-flat"
            uplink = { interface = "eth1" }
            subnets = [{ prefix = "2001:db8:1::/64", gateway = "fe80::1" }]
        "#;
        let networks = toml::from_str::<File>(text).unwrap().network;
        assert_eq!(check(&networks), Ok(()));
        let own = networks[0].host_addresses();
        assert_eq!(own, ["10.78.0.1/16".parse().unwrap(), "fd00:78::1/64".parse().unwrap()] as [IpNet; 2]);
        assert_eq!(networks[1].host_addresses(), []);
    }

    #[test]
    fn links_that_clash() {
        let sub = "subnets = [{ prefix = \"10.99.0.0/16\" }]";
        let error = error_of(&format!("name = \"pods\"\nbridge = \"br-b\"\n{sub}"));
        assert_eq!(error, "two networks are called pods: give one of them another `name`");
        let error = error_of(&format!("name = \"b\"\nbridge = \"br-pods\"\n{sub}"));
        assert_eq!(error, "networks b and pods both have `bridge` br-pods: give each its own");
        let error = error_of(&format!("name = \"b\"\nbridge = \"nl3f\"\n{sub}"));
        assert!(error.starts_with("network b: `bridge` nl3f looks like a NIC's link"), "{error}");
        for interface in ["br-pods", "nl3f"] {
            let uplink = format!("uplink = {{ interface = \"{interface}\" }}");
            let error = error_of(&format!("name = \"b\"\nbridge = \"br-b\"\n{uplink}\n{sub}"));
            assert!(error.starts_with(&format!("network b: `uplink` interface {interface} is")), "{error}");
        }
    }

    #[test]
    fn subnets_that_cannot_be() {
        for (subnet, expected) in [
            (
                "prefix = \"10.78.4.0/24\"",
                "network b: `prefix` 10.78.4.0/24 overlaps 10.78.0.0/16 of network pods",
            ),
            (
                "prefix = \"10.99.0.5/24\"",
                "network b: `prefix` 10.99.0.5/24 has host bits set: write 10.99.0.0/24",
            ),
            ("prefix = \"10.99.0.0/31\"", "network b: `prefix` 10.99.0.0/31 is too small"),
            ("prefix = \"fe80::/64\"", "network b: `prefix` fe80::/64 is loopback, link-local"),
            (
                "prefix = \"10.99.0.0/24\", gateway = \"10.98.0.1\"",
                "network b: `gateway` 10.98.0.1 is no host address of 10.99.0.0/24",
            ),
            (
                "prefix = \"10.99.0.0/24\", gateway = \"10.99.0.255\"",
                "network b: `gateway` 10.99.0.255 is no host address of 10.99.0.0/24",
            ),
            (
                "prefix = \"fd99::/64\", gateway = \"fe80::1\"",
                "network b: `gateway` fe80::1 is no host address",
            ),
            (
                "prefix = \"10.99.0.0/24\", first = \"fd00::1\"",
                "network b: `first` fd00::1 is no host address",
            ),
            (
                "prefix = \"10.99.0.0/24\", first = \"10.99.0.9\", last = \"10.99.0.8\"",
                "network b: `first` 10.99.0.9 comes after `last` 10.99.0.8",
            ),
            (
                "prefix = \"10.99.0.0/24\", exclude = [\"10.98.0.0/24\"]",
                "network b: `exclude` 10.98.0.0/24 is not inside",
            ),
            (
                "prefix = \"10.99.0.0/24\" }, { prefix = \"10.97.0.0/24\"",
                "network b: `subnets` has both 10.99.0.0/24 and 10.97.0.0/24",
            ),
        ] {
            let error = with_subnet(subnet);
            assert!(error.starts_with(expected), "{error}\ninstead of\n{expected}");
        }
        assert!(error_of("name = \"b\"\nbridge = \"br-b\"\nsubnets = []").contains("`subnets` is empty"));
    }
}
