//! Subnets that somebody else on this host has already. An address of the bridge's would then be another link's too, and packets
//! for pods would go there, or the reverse.

use super::{
    error::Clash,
    observed::Observed,
    plan::{Desired, is_ours},
};
use ipnet::IpNet;
use nestless_model::{
    identity::NicId,
    network::{Network, Uplink},
};
use nestless_support::netlink::Link;
use std::collections::BTreeSet;

/// Everything of others that a subnet overlaps. Not looked at are networks that stand on an outer one, where the host may have an
/// address of its own, and default routes, which overlap everything.
pub fn clashes(desired: &Desired, observed: &Observed) -> Vec<Clash> {
    let named = |link: &Link| desired.networks.iter().any(|network| network.bridge.as_str() == link.name);
    let ours =
        |link: &&Link| named(link) || is_ours(desired, link) || NicId::from_link_name(&link.name).is_some();
    let ours: BTreeSet<u32> = observed.links.iter().filter(ours).map(|link| link.index).collect();
    let routed = desired.networks.iter().filter(|network| !matches!(network.uplink, Uplink::Interface(_)));
    routed
        .flat_map(|network| network.subnets.iter().map(move |subnet| (network, subnet.prefix)))
        .flat_map(|(network, prefix)| of_subnet(network, prefix, observed, &ours))
        .collect()
}

fn of_subnet(network: &Network, prefix: IpNet, observed: &Observed, ours: &BTreeSet<u32>) -> Vec<Clash> {
    let is_meant = |theirs: &IpNet| network.may_overlap.iter().any(|meant| meant.contains(theirs));
    let in_the_way = |theirs: &IpNet| overlap(prefix, *theirs) && !is_meant(theirs);
    let clash = |found: String, theirs: IpNet| Clash { network: network.name.clone(), prefix, found, theirs };
    let (mut clashes, mut told) = (Vec::new(), BTreeSet::new());
    for address in observed.addresses.iter().filter(|address| !ours.contains(&address.link)) {
        let theirs = address.address.trunc();
        if in_the_way(&theirs) {
            told.insert((address.link, theirs));
            let found = format!("{}, an address of {}", address.address, observed.name_of(address.link));
            clashes.push(clash(found, theirs));
        }
    }
    let is_default = |destination: &IpNet| destination.prefix_len() <= 1;
    for route in observed.routes.iter().filter(|route| !ours.contains(&route.link)) {
        let theirs = route.destination;
        // That of a link's own address says nothing new.
        if !is_default(&theirs) && in_the_way(&theirs) && told.insert((route.link, theirs)) {
            clashes.push(clash(
                format!("the route to {theirs} through {}", observed.name_of(route.link)),
                theirs,
            ));
        }
    }
    clashes
}

fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}
