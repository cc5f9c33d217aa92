//! Where a NIC's routes go when its sandbox has other interfaces: it takes nothing from those that were there first.
//!
//! A NIC that is alone has its routes in the main table, and that is all. Those of a later one stand there too, behind the
//! routes that others have to the same destinations: they count when the others go. Besides, it gets a table of its own
//! for the packets that have one of its addresses. An answer must leave by the NIC that was asked, since the host's guard
//! lets no other NIC's address out.

use super::nic::PodNic;
use ipnet::IpNet;
use nestless_support::netlink::{Netlink, NetlinkError, Route, SourceRule};
use std::net::IpAddr;

/// A NIC's own table has this number and its link's.
const FIRST_TABLE: u32 = 10_000;
/// Before the main table, which is asked at 32766.
const RULE_PRIORITY: u32 = 10_000;
/// An IPv6 route of which no other metric was said (IP6_RT_PRIO_USER in include/uapi/linux/ipv6_route.h).
const IPV6_METRIC: u32 = 1024;

/// What is to be added for one NIC.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Routing {
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<SourceRule>,
}

/// The table of the link of that number.
pub(super) fn own_table(link: u32) -> u32 {
    FIRST_TABLE.wrapping_add(link)
}

/// Decides, given the main table of the sandbox, in which the kernel may have put routes of this link already.
pub(super) fn plan(link: u32, nic: &PodNic, main: &[Route]) -> Routing {
    let others: Vec<&Route> =
        main.iter().filter(|route| route.link != link && !is_link_local(&route.destination)).collect();
    let wanted = nic.routes.iter().map(|route| {
        let on_link = route.gateway.is_some_and(|gateway| !reachable(nic, gateway));
        Route { gateway: route.gateway, on_link, ..Route::through(link, route.destination) }
    });
    let mut routing = Routing { routes: wanted.collect(), rules: Vec::new() };
    if !others.is_empty() {
        routing.step_back(&others);
        routing.add_own_table(link, nic);
    }
    routing
}

impl Routing {
    fn step_back(&mut self, others: &[&Route]) {
        for route in &mut self.routes {
            let same = others.iter().filter(|other| other.destination == route.destination);
            route.metric = same.map(|other| metric(other).saturating_add(1)).max();
        }
    }

    fn add_own_table(&mut self, link: u32, nic: &PodNic) {
        let table = Some(own_table(link));
        let local: IpNet = ipnet::Ipv6Net::new_assert(LINK_LOCAL, 64).into();
        let mut near: Vec<IpNet> = nic.addresses.iter().map(IpNet::trunc).collect();
        near.extend(nic.addresses.iter().any(|address| address.addr().is_ipv6()).then_some(local));
        let far: Vec<Route> =
            self.routes.iter().map(|route| Route { metric: None, table, ..*route }).collect();
        // First, or the kernel does not believe that a gateway is near.
        self.routes.extend(near.into_iter().map(|prefix| Route { table, ..Route::through(link, prefix) }));
        self.routes.extend(far);
        let rule = |address: &IpNet| SourceRule {
            source: address.addr(),
            table: own_table(link),
            priority: RULE_PRIORITY,
        };
        self.rules = nic.addresses.iter().map(rule).collect();
    }

    /// Adds everything. What was added before a failure is taken away with the NIC.
    pub(super) async fn apply(&self, inside: &Netlink) -> Result<(), NetlinkError> {
        for route in &self.routes {
            inside.add_route(route).await?;
        }
        for rule in &self.rules {
            inside.add_source_rule(*rule).await?;
        }
        Ok(())
    }
}

/// The addresses whose packets the link's own table routes.
pub(super) async fn ruled(inside: &Netlink, link: u32) -> Result<Vec<IpAddr>, NetlinkError> {
    let rules = inside.source_rules().await?;
    Ok(rules.iter().filter(|rule| rule.table == own_table(link)).map(|rule| rule.source).collect())
}

/// Deletes the link's rules, which would outlive its table.
pub(super) async fn forget(inside: &Netlink, link: u32) -> Result<(), NetlinkError> {
    for rule in inside.source_rules().await?.into_iter().filter(|rule| rule.table == own_table(link)) {
        match inside.delete_source_rule(rule).await {
            Err(error) if !error.is_missing() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Of no concern to a runtime: every IPv6 link has it.
pub(super) fn is_link_local(destination: &IpNet) -> bool {
    matches!(destination, IpNet::V6(prefix) if prefix.network().is_unicast_link_local())
}

const LINK_LOCAL: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

fn reachable(nic: &PodNic, gateway: IpAddr) -> bool {
    nic.addresses.iter().any(|address| address.contains(&gateway))
}

fn metric(route: &Route) -> u32 {
    route.metric.unwrap_or(if route.destination.addr().is_ipv4() { 0 } else { IPV6_METRIC })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod_nic::PodRoute;
    use nestless_model::identity::{InterfaceName, Mac, Mtu};

    fn nic() -> PodNic {
        let mac: Mac = "4e:4c:00:01:00:05".parse().unwrap();
        let route = |destination: &str, gateway: &str| PodRoute {
            destination: destination.parse().unwrap(),
            gateway: Some(gateway.parse().unwrap()),
        };
        PodNic {
            nic_mac: mac,
            interface: InterfaceName::new("net1").unwrap(),
            pod_mac: mac,
            mtu: Mtu::new(1500).unwrap(),
            addresses: vec!["10.9.0.7/24".parse().unwrap(), "fd00:9::7/64".parse().unwrap()],
            routes: vec![route("0.0.0.0/0", "10.9.0.1"), route("::/0", "fd00:9::1")],
        }
    }

    fn shown(routing: &Routing) -> Vec<String> {
        let routes = routing.routes.iter().map(|route| match route.metric {
            Some(metric) => format!("{route} metric {metric}"),
            None => route.to_string(),
        });
        routes.chain(routing.rules.iter().map(ToString::to_string)).collect()
    }

    #[test]
    fn a_nic_that_is_alone_has_the_main_table() {
        // What the kernel adds with an address, and with any link.
        let own = Route::through(7, "10.9.0.0/24".parse().unwrap());
        let local = Route::through(3, "fe80::/64".parse().unwrap());
        assert_eq!(
            shown(&plan(7, &nic(), &[own, local])),
            [
                "default by way of 10.9.0.1 through link number 7",
                "default by way of fd00:9::1 through link number 7"
            ]
        );
    }

    #[test]
    fn a_second_nic_steps_back_and_has_a_table_of_its_own() {
        let first = Route::default_by(3, "10.9.0.1".parse().unwrap());
        let second = Route { metric: Some(40), ..Route::default_by(4, "10.8.0.1".parse().unwrap()) };
        assert_eq!(
            shown(&plan(7, &nic(), &[first, second])),
            [
                "default by way of 10.9.0.1 through link number 7 metric 41",
                "default by way of fd00:9::1 through link number 7",
                "10.9.0.0/24 through link number 7 in table 10007",
                "fd00:9::/64 through link number 7 in table 10007",
                "fe80::/64 through link number 7 in table 10007",
                "default by way of 10.9.0.1 through link number 7 in table 10007",
                "default by way of fd00:9::1 through link number 7 in table 10007",
                "from 10.9.0.7 look in table 10007",
                "from fd00:9::7 look in table 10007",
            ]
        );
    }

    #[test]
    fn an_ipv6_route_steps_back_behind_the_kernels_own_metric() {
        let first = Route::default_by(3, "fd00:9::1".parse().unwrap());
        assert_eq!(plan(7, &nic(), &[first]).routes[1].metric, Some(1025));
    }
}
