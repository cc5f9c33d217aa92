//! CHECK: is the world, here and on the host, as ADD left it? What plugins after us added is left to them.

use super::{Agent, chain};
use crate::attachments::Phase;
use nestless_guest::{
    loopback_endpoint,
    pod_nic::{self, Observed, SandboxRoute},
};
use nestless_model::{
    cni::{Check, CniError, CniResult, Interface, Route},
    refusal::Reason,
};
use nestless_support::{netns::Namespace, telemetry::TraceParent};

impl Agent {
    pub(super) async fn check(
        &self,
        check: Check,
        sandbox: Namespace,
        trace: TraceParent,
    ) -> Result<(), CniError> {
        let _guard = self.locks.container(&check.attachment.container).await;
        let record = self.attachments.get(&check.attachment).filter(|record| record.phase == Phase::InUse);
        let nic = record.and_then(|record| record.nic).ok_or_else(|| {
            CniError::new(Reason::NotFound, format!("{} is not attached by this agent", check.attachment))
        })?;
        let failed = |faults: Vec<String>| {
            CniError::new(Reason::CheckFailed, format!("{}: {}", check.attachment, faults.join("; ")))
        };
        let observed = pod_nic::inspect(&sandbox, nic).await.map_err(|e| failed(vec![chain(&e)]))?;
        let Some(observed) = observed else {
            return Err(failed(vec![format!("the NIC with MAC address {nic} is not in the sandbox")]));
        };
        let mut faults = if check.attachment.is_endpoint() {
            compare_endpoint(&check, &observed, &sandbox).await
        } else {
            compare(&check, &observed)
        };
        match self.host.check(&check.attachment, trace).await {
            Ok(found) => faults.extend(found),
            // What was found here is worth telling at once; otherwise nothing is known.
            Err(error) if faults.is_empty() => return Err(error.into()),
            Err(_) => {}
        }
        if faults.is_empty() { Ok(()) } else { Err(failed(faults)) }
    }
}

/// Routes and addresses are those of the plugin before us.
async fn compare_endpoint(check: &Check, observed: &Observed, sandbox: &Namespace) -> Vec<String> {
    let name = check.attachment.interface.as_str();
    let Some(expected) = check.prev_result.interfaces.iter().find(|interface| interface.name == name) else {
        return vec![format!("prevResult has no interface {name}")];
    };
    let mut faults = compare_link(expected, observed);
    match loopback_endpoint::is_joined(sandbox).await {
        Ok(true) => {}
        Ok(false) => faults.push(format!("steer is not on lo and {name}")),
        Err(error) => faults.push(chain(&error)),
    }
    faults
}

/// What of `prevResult` is ours and differs.
fn compare(check: &Check, observed: &Observed) -> Vec<String> {
    let name = check.attachment.interface.as_str();
    let expected = &check.prev_result;
    let mine = |interface: &Interface| interface.name == name && !interface.sandbox.is_empty();
    let Some(index) = expected.interfaces.iter().position(mine) else {
        return vec![format!("prevResult has no interface {name} with a sandbox")];
    };
    let mut faults = compare_link(&expected.interfaces[index], observed);
    faults.extend(compare_addresses(expected, index, observed));
    faults.extend(compare_routes(expected, observed));
    faults.extend(compare_rules(expected, index, observed));
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
