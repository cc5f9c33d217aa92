//! What must be done so that the host's network is as the operator wrote it. Pure: kernel state in, steps out.
//!
//! Why a bridge of ours looks as it does:
//! - no STP and no forward delay: a pod's NIC works the moment it is plugged, and TAPs make no loops;
//! - no multicast snooping: a bridge that snoops believes whoever queries, and sends the neighbour discovery of all others
//!   to the querier alone;
//! - a fixed MAC address: without one the bridge takes the lowest of its ports', and the pods' neighbour tables go stale
//!   whenever a NIC comes or goes. It is made of the instance's and the bridge's name, and so it also tells whose bridge
//!   it is: the one mark that is there from the moment the bridge is, so that no crash leaves an unmarked one;
//! - `accept_ra` off: a pod must not be able to give the host a route;
//! - `arp_ignore` 1: a pod that asks for an address the host has on another link gets no answer;
//! - no IPv6 of the host's own on it unless it is the pods' IPv6 next hop: what has no address leaks nothing. Where it has
//!   one, its link-local address stays, since neighbour discovery speaks from it.

use super::{
    error::PlanError,
    observed::{IPV4_FORWARDING, IPV6_FORWARDING, Observed},
    rules::{Rule, rules},
    step::FabricStep,
};
use ipnet::IpNet;
use nestless_model::{
    identity::{LinkName, NicId},
    network::{Network, Uplink},
};
use nestless_support::netlink::{Address, BridgeSettings, HardwareAddress, Link};

/// What the fabric of one daemon should be.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Keeps daemons on one host apart.
    pub instance: String,
    /// All networks, checked by `nestless_model::network::check`.
    pub networks: Vec<Network>,
}

impl Desired {
    /// The name of our nftables table (family inet).
    pub fn table(&self) -> String {
        format!("nestless-{}", self.instance)
    }

    /// What people see at bridges that we made.
    pub fn alias(&self) -> String {
        format!("nestless bridge of {}", self.instance)
    }
}

/// The steps to the desired state, in order; none when it is there.
///
/// # Errors
/// When something of someone else's is in the way.
pub fn plan_up(desired: &Desired, observed: &Observed) -> Result<Vec<FabricStep>, PlanError> {
    let mut steps = Vec::new();
    for network in &desired.networks {
        let bridge = observed.link(&network.bridge);
        if let Some(link) = bridge.filter(|link| link.bridge.is_none()) {
            return Err(PlanError::NotABridge {
                network: network.name.clone(),
                bridge: network.bridge.clone(),
                kind: link.kind.clone().unwrap_or_else(|| "physical link".to_owned()),
            });
        }
        plan_bridge(desired, network, bridge, observed, &mut steps);
        if let Uplink::Interface(interface) = &network.uplink {
            plan_uplink(network, interface, bridge, observed, &mut steps)?;
        }
    }
    plan_stale(desired, observed, &mut steps);
    // In this order: from the moment the host forwards, what may not be routed is not.
    plan_rules(&desired.table(), all_rules(desired, observed), observed, &mut steps);
    plan_forwarding(desired, observed, &mut steps)?;
    Ok(steps)
}

/// The steps that take away what [`plan_up`] made, by whichever run of this instance. Bridges made by others stay, with
/// the addresses they have; so does forwarding, which others may count on by now.
pub fn plan_down(desired: &Desired, observed: &Observed) -> Vec<FabricStep> {
    let ours = observed.links.iter().filter(|link| is_ours(desired, link));
    let mut steps: Vec<_> =
        ours.filter_map(link_name).map(|bridge| FabricStep::DeleteBridge { bridge }).collect();
    plan_rules(&desired.table(), Vec::new(), observed, &mut steps);
    steps
}

fn plan_bridge(
    desired: &Desired,
    network: &Network,
    link: Option<&Link>,
    observed: &Observed,
    steps: &mut Vec<FabricStep>,
) {
    let bridge = || network.bridge.clone();
    let own = network.host_addresses();
    match link {
        None => {
            let mac = stable_mac(&desired.instance, network.bridge.as_str());
            steps.push(FabricStep::CreateBridge { bridge: bridge(), mac });
        }
        Some(link) if link.bridge.is_some_and(holds_frames_back) => {
            // STP and snooping on a bridge of the operator's are the operator's wish.
            if is_ours(desired, link) {
                steps.push(FabricStep::ForwardAtOnce { bridge: bridge() });
            }
        }
        Some(_) => {}
    }
    let serves_v6 = own.iter().any(|address| address.addr().is_ipv6());
    plan_sysctl(format!("net/ipv4/conf/{}/arp_ignore", network.bridge), "1", observed, steps);
    // A host without IPv6 has neither these settings nor anything to turn off.
    if serves_v6 || observed.sysctl(IPV6_FORWARDING).is_some() {
        for (setting, value) in [("accept_ra", "0"), ("disable_ipv6", if serves_v6 { "0" } else { "1" })] {
            let key = format!("net/ipv6/conf/{bridge}/{setting}", bridge = network.bridge);
            plan_sysctl(key, value, observed, steps);
        }
    }
    if link.map(|link| link.mtu_bytes) != Some(network.mtu.bytes()) {
        steps.push(FabricStep::SetMtu { link: bridge(), mtu: network.mtu });
    }
    if !link.is_some_and(|link| link.up) {
        steps.push(FabricStep::SetUp { link: bridge() });
    }
    let has: Vec<_> = link.map(|link| observed.addresses_of(link).collect()).unwrap_or_default();
    let ours = link.is_none_or(|link| is_ours(desired, link));
    plan_addresses(network, &own, &has, ours, steps);
}

fn holds_frames_back(settings: BridgeSettings) -> bool {
    settings.stp || settings.forward_delay_cs > 0 || settings.multicast_snooping
}

fn plan_addresses(
    network: &Network,
    own: &[IpNet],
    has: &[&Address],
    ours: bool,
    steps: &mut Vec<FabricStep>,
) {
    for found in has.iter().filter(|found| !found.link_local && !own.contains(&found.address)) {
        // On a bridge of the operator's only what claims to be in our subnets can be a former address of ours.
        let within = network.subnets.iter().any(|subnet| subnet.prefix == found.address.trunc());
        if ours || (within && !own.is_empty()) {
            steps.push(FabricStep::RemoveAddress { bridge: network.bridge.clone(), address: found.address });
        }
    }
    for address in own.iter().filter(|address| !has.iter().any(|found| found.address == **address)) {
        steps.push(FabricStep::AddAddress { bridge: network.bridge.clone(), address: *address });
    }
}

fn plan_uplink(
    network: &Network,
    interface: &LinkName,
    bridge: Option<&Link>,
    observed: &Observed,
    steps: &mut Vec<FabricStep>,
) -> Result<(), PlanError> {
    let name = || network.name.clone();
    let Some(nic) = observed.link(interface) else {
        return Err(PlanError::NoUplink { network: name(), interface: interface.clone() });
    };
    let enslaved = nic.master.is_some() && nic.master == bridge.map(|bridge| bridge.index);
    if let Some(master) = nic.master.filter(|_| !enslaved) {
        let master = observed.name_of(master);
        return Err(PlanError::UplinkTaken { network: name(), interface: interface.clone(), master });
    }
    if let Some(found) = observed.addresses_of(nic).find(|found| !found.link_local && !enslaved) {
        let address = found.address;
        return Err(PlanError::UplinkInUse { network: name(), interface: interface.clone(), address });
    }
    if nic.mtu_bytes != network.mtu.bytes() {
        steps.push(FabricStep::SetMtu { link: interface.clone(), mtu: network.mtu });
    }
    if !enslaved {
        steps.push(FabricStep::Enslave { link: interface.clone(), bridge: network.bridge.clone() });
    }
    if !nic.up {
        steps.push(FabricStep::SetUp { link: interface.clone() });
    }
    Ok(())
}

/// Bridges of ours that the configuration no longer has, and whether NICs are ports of them.
fn stale<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
) -> impl Iterator<Item = (LinkName, &'a Link, bool)> {
    observed.links.iter().filter(|link| is_ours(desired, link)).filter_map(|link| {
        let wanted = desired.networks.iter().any(|network| network.bridge.as_str() == link.name);
        let mut ports = observed.links.iter().filter(|port| port.master == Some(link.index));
        let used = ports.any(|port| NicId::from_link_name(&port.name).is_some());
        Some((link_name(link).filter(|_| !wanted)?, link, used))
    })
}

/// A stale bridge waits until the last pod has left it. Until then it must not have an address that is another bridge's
/// now, or the host would go on sending there what is for that one's pods.
fn plan_stale(desired: &Desired, observed: &Observed, steps: &mut Vec<FabricStep>) {
    let own: Vec<IpNet> = desired.networks.iter().flat_map(Network::host_addresses).collect();
    for (bridge, link, used) in stale(desired, observed) {
        if !used {
            steps.push(FabricStep::DeleteBridge { bridge });
            continue;
        }
        for found in observed.addresses_of(link).filter(|found| own.contains(&found.address)) {
            steps.push(FabricStep::RemoveAddress { bridge: bridge.clone(), address: found.address });
        }
    }
}

/// The rules of all networks, and of bridges that have pods and no network any more: what a closed network's pods may not
/// do, they may not do because it was taken out of the configuration.
fn all_rules(desired: &Desired, observed: &Observed) -> Vec<Rule> {
    let left = stale(desired, observed).filter(|(_, _, used)| *used);
    let closed =
        left.flat_map(|(bridge, ..)| [Rule::DropFrom { bridge: bridge.clone() }, Rule::DropTo { bridge }]);
    closed.chain(rules(&desired.networks)).collect()
}

fn plan_forwarding(
    desired: &Desired,
    observed: &Observed,
    steps: &mut Vec<FabricStep>,
) -> Result<(), PlanError> {
    let has = |network: &Network, v4: bool| {
        network.uplink == Uplink::Nat
            && network.subnets.iter().any(|subnet| subnet.prefix.addr().is_ipv4() == v4)
    };
    if desired.networks.iter().any(|network| has(network, true)) {
        plan_sysctl(IPV4_FORWARDING.to_owned(), "1", observed, steps);
    }
    if let Some(network) = desired.networks.iter().find(|network| has(network, false))
        && observed.sysctl(IPV6_FORWARDING) != Some("1")
    {
        if let Some(interface) = deaf(observed) {
            return Err(PlanError::Deaf { network: network.name.clone(), interface });
        }
        plan_sysctl(IPV6_FORWARDING.to_owned(), "1", observed, steps);
    }
    Ok(())
}

/// A link that the host has a route from, by a router's advertisement, and would lose: a kernel that forwards stops listening to
/// routers, unless `accept_ra` is 2 (Documentation/networking/ip-sysctl.rst). The setting of a link that is not ours is its
/// owner's to change.
fn deaf(observed: &Observed) -> Option<String> {
    let advertised =
        observed.routes.iter().filter(|route| route.advertised && route.destination.addr().is_ipv6());
    let mut names = advertised.map(|route| observed.name_of(route.link));
    names.find(|name| observed.sysctl(&format!("net/ipv6/conf/{name}/accept_ra")) == Some("1"))
}

fn plan_rules(table: &str, rules: Vec<Rule>, observed: &Observed, steps: &mut Vec<FabricStep>) {
    let table = table.to_owned();
    match (&observed.rules, rules.is_empty()) {
        (None, true) => {}
        (Some(_), true) => steps.push(FabricStep::DeleteRules { table }),
        (Some(found), false)
            if found.iter().eq(rules.iter().map(Rule::to_string).collect::<Vec<_>>().iter()) => {}
        (_, false) => steps.push(FabricStep::SetRules { table, rules }),
    }
}

fn plan_sysctl(key: String, value: &'static str, observed: &Observed, steps: &mut Vec<FabricStep>) {
    if observed.sysctl(&key) != Some(value) {
        steps.push(FabricStep::SetSysctl { key, value });
    }
}

pub(super) fn is_ours(desired: &Desired, link: &Link) -> bool {
    link.bridge.is_some() && link.mac == Some(HardwareAddress(stable_mac(&desired.instance, &link.name)))
}

/// `None` for a name that no configuration could have, which no bridge of ours has.
fn link_name(link: &Link) -> Option<LinkName> {
    LinkName::new(link.name.clone()).ok()
}

/// The same after every restart, so that pods' neighbour tables stay right. Locally administered, and not one of a NIC's.
fn stable_mac(instance: &str, bridge: &str) -> [u8; 6] {
    // FNV-1a, 64 bits: short, and fixed for ever, unlike the standard library's hasher.
    let bytes = instance.bytes().chain([0]).chain(bridge.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [.., a, b, c, d, e] = hash.to_be_bytes();
    [0x02, a, b, c, d, e]
}
