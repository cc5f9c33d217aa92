//! What CHECK is given as ADD's result, beside what is there. What plugins after us added is left to them.

use nestless_guest::pod_nic::{Observed, SandboxRoute};
use nestless_model::{
    cni::{CniResult, Interface, Route},
    identity::AttachmentId,
};

/// What of `expected` is ours and differs.
pub(super) fn differences(
    attachment: &AttachmentId,
    expected: &CniResult,
    observed: &Observed,
) -> Vec<String> {
    let name = attachment.interface.as_str();
    let is_endpoint = attachment.is_endpoint();
    let mine =
        |interface: &Interface| interface.name == name && (is_endpoint || !interface.sandbox.is_empty());
    let Some(index) = expected.interfaces.iter().position(mine) else {
        let needed = if is_endpoint { "" } else { " with a sandbox" };
        return vec![format!("prevResult has no interface {name}{needed}")];
    };
    let mut faults = compare_link(&expected.interfaces[index], observed);
    if !is_endpoint {
        // An endpoint's sandbox has the routes and addresses of the plugin before us.
        faults.extend(compare_addresses(expected, index, observed));
        faults.extend(compare_routes(expected, observed));
        faults.extend(compare_rules(expected, index, observed));
    }
    faults
}

fn compare_link(expected: &Interface, observed: &Observed) -> Vec<String> {
    let link = &observed.link;
    let mac = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
    let mut faults = Vec::new();
    if link.name != expected.name {
        faults.push(format!("the NIC is called {}, not {}", link.name, expected.name));
    }
    if !expected.mac.eq_ignore_ascii_case(&mac) {
        faults.push(format!("its MAC address is {mac}, not {}", expected.mac));
    }
    if let Some(mtu) = expected.mtu.filter(|mtu| *mtu != link.mtu_bytes) {
        faults.push(format!("its MTU is {}, not {mtu}", link.mtu_bytes));
    }
    if !link.up {
        faults.push("it is down".to_owned());
    }
    faults
}

fn compare_routes<'a>(expected: &'a CniResult, observed: &'a Observed) -> impl Iterator<Item = String> + 'a {
    // Tables of other numbers are other plugins'.
    let mine =
        expected.routes.iter().filter(|route| route.table.is_none_or(|table| table == observed.own_table));
    let missing = mine.filter(|route| !observed.routes.iter().any(|there| same_route(route, there)));
    missing.map(|route| match route.table {
        Some(table) => format!("the route to {} is missing in table {table}", route.destination),
        None => format!("the route to {} is missing", route.destination),
    })
}

fn same_route(expected: &Route, there: &SandboxRoute) -> bool {
    let told = |value: Option<u32>, seen: Option<u32>| value.is_none() || value == seen;
    there.table == expected.table
        && there.route.destination == expected.destination.trunc()
        && (expected.gateway.is_none() || there.route.gateway == expected.gateway)
        && told(expected.priority, there.metric)
}

/// A NIC that has routes in a table of its own has them for the packets of its addresses.
fn compare_rules<'a>(
    expected: &'a CniResult,
    index: usize,
    observed: &'a Observed,
) -> impl Iterator<Item = String> + 'a {
    let has_own = expected.routes.iter().any(|route| route.table == Some(observed.own_table));
    let mine = expected.ips.iter().filter(move |ip| has_own && ip.interface == Some(index));
    let missing = mine.filter(|ip| !observed.ruled.contains(&ip.address.addr()));
    missing
        .map(|ip| format!("no rule sends packets from {} to table {}", ip.address.addr(), observed.own_table))
}

fn compare_addresses<'a>(
    expected: &'a CniResult,
    index: usize,
    observed: &'a Observed,
) -> impl Iterator<Item = String> + 'a {
    let mine = expected.ips.iter().filter(move |ip| ip.interface == Some(index));
    let missing = mine.filter(|ip| !observed.addresses.contains(&ip.address));
    missing.map(|ip| format!("the address {} is missing", ip.address))
}
