//! Do ledger, kernel and hypervisor say the same?

use crate::{Monitor, operator};
use ipnet::IpNet;
use nestless_lab::{Exec, Lab, Vmm};
use nestless_model::identity::NicId;
use nestless_proto::{NicStatus, StatusResponse};
use nestless_support::netlink::{Link, Netlink};
use std::collections::{BTreeMap, BTreeSet};

/// Has the daemon mend what it finds, and then proves that nothing is left to mend: a second look finds nothing, and
/// every NIC of the ledger, and no other, is a link of the host's, a device of its VM's, and a guarded port.
///
/// # Panics
/// When they do not agree.
pub async fn agree(lab: &Lab) -> StatusResponse {
    operator::settled(lab).await;
    let first = operator::reconcile(lab).await;
    assert!(first.failures.is_empty(), "{:?}", first.failures);
    let status = operator::settled(lab).await;
    let second = operator::reconcile(lab).await;
    assert!(second.repairs.is_empty() && second.failures.is_empty(), "{second:?} after {first:?}");
    let nics: Vec<&NicStatus> = status.vms.iter().flat_map(|vm| &vm.nics).collect();
    let links = host_ends(lab).await;
    agree_links(&nics, &links);
    agree_devices(lab, &status).await;
    agree_guards(lab, &nics, &links).await;
    agree_groups(lab, &nics).await;
    agree_addresses(&status, &nics);
    status
}

/// The NICs' ends on the lab's host, by name.
pub async fn host_ends(lab: &Lab) -> BTreeMap<String, Link> {
    let netlink = Netlink::inside(lab.host()).await.expect("the lab's host is there");
    let links = netlink.links().await.expect("links can be listed");
    let ours = links.into_iter().filter(|link| NicId::from_link_name(&link.name).is_some());
    ours.map(|link| (link.name.clone(), link)).collect()
}

fn agree_links(nics: &[&NicStatus], links: &BTreeMap<String, Link>) {
    let wanted: BTreeSet<&str> = nics.iter().map(|nic| nic.link.as_str()).collect();
    let there: BTreeSet<&str> = links.keys().map(String::as_str).collect();
    assert_eq!(wanted, there, "ledger and links");
    for nic in nics.iter().filter(|nic| nic.phase == "InUse") {
        let link = &links[&nic.link];
        assert!(link.up && link.master.is_some() == nic.membership.is_none(), "{link:?}");
    }
}

async fn agree_devices(lab: &Lab, status: &StatusResponse) {
    for vm in lab.vms().iter().filter(|_| lab.state().vmm == Vmm::Qemu) {
        if !vm.process().is_some_and(|process| process.is_alive()) {
            continue;
        }
        let known = status.vms.iter().find(|known| known.name == vm.name().as_str());
        let nics = known.into_iter().flat_map(|vm| &vm.nics);
        let wanted: BTreeSet<String> = nics.map(|nic| NicId(nic.nic_id).device_name()).collect();
        let mut monitor = Monitor::connect(&vm.qmp_socket()).await;
        assert_eq!(monitor.our_devices().await, wanted, "ledger and devices of {}", vm.name());
        let backends: BTreeSet<String> = wanted.iter().map(|name| format!("{name}-net")).collect();
        assert_eq!(monitor.our_backends().await, backends, "ledger and back ends of {}", vm.name());
    }
}

/// No entry without a link, and none missing where a pod is.
async fn agree_guards(lab: &Lab, nics: &[&NicStatus], links: &BTreeMap<String, Link>) {
    let indexes: BTreeSet<u32> = links.values().map(|link| link.index).collect();
    let entries = table(lab, "guard/tables-*/guard_entries").await;
    let endpoints = table(lab, "loopback/tables-*/reflector_endpoints").await;
    for name in ["guard_entries", "guard_buckets", "guard_counters"] {
        let orphans: Vec<u32> =
            table(lab, &format!("guard/tables-*/{name}")).await.difference(&indexes).copied().collect();
        assert!(orphans.is_empty(), "{name} of links that are gone: {orphans:?}");
    }
    for nic in nics {
        let index = links[&nic.link].index;
        let (used, is_endpoint) = (nic.phase == "InUse", nic.membership.is_some());
        let text = format!("{} ({})", nic.link, nic.phase);
        assert_eq!(entries.contains(&index), used && !is_endpoint, "guard entry of {text}");
        assert_eq!(endpoints.contains(&index), used && is_endpoint, "endpoint at {text}");
    }
    let strays: Vec<u32> = endpoints.difference(&indexes).copied().collect();
    assert!(strays.is_empty(), "endpoints of links that are gone: {strays:?}");
}

/// A loopback group has its tables for as long as somebody is in it. All VMs of a lab are one tenant's, so a name is one
/// group's.
async fn agree_groups(lab: &Lab, nics: &[&NicStatus]) {
    let memberships = nics.iter().filter_map(|nic| nic.membership.as_ref());
    let groups: BTreeSet<&str> = memberships.map(|membership| membership.group.as_str()).collect();
    for name in ["reflector_groups", "reflector_flows", "reflector_fragments", "reflector_heard"] {
        let rows = table(lab, &format!("loopback/tables-*/{name}")).await;
        assert_eq!(rows.len(), groups.len(), "{name} of {groups:?}: {rows:?}");
    }
}

/// The keys of a pinned table, by their first four bytes: each is a group, or of a group. Read by bpftool, so that what the daemon believes has no part in it.
async fn table(lab: &Lab, name: &str) -> BTreeSet<u32> {
    let script = format!("bpftool -j map dump pinned /sys/fs/bpf/nestless/lab-{}/{name}", lab.name());
    let output = lab.host_exec(&Exec::shell(script)).await.expect("bpftool runs");
    let output = output.success("bpftool map dump").expect("the table is pinned");
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("bpftool speaks JSON");
    let key = |row: &serde_json::Value| {
        let bytes: Vec<u8> = row["key"]
            .as_array()?
            .iter()
            .filter_map(|byte| u8::from_str_radix(byte.as_str()?.trim_start_matches("0x"), 16).ok())
            .collect();
        Some(u32::from_ne_bytes(*bytes.first_chunk()?))
    };
    let rows = rows.as_array().expect("a table is a list");
    rows.iter().map(|row| key(row).expect("a key begins with four bytes")).collect()
}

/// Nobody has another's address, and what the subnets count is what the NICs have.
fn agree_addresses(status: &StatusResponse, nics: &[&NicStatus]) {
    let all: Vec<IpNet> =
        nics.iter().flat_map(|nic| &nic.addresses).map(|a| a.parse().expect("an address")).collect();
    let distinct: BTreeSet<_> = all.iter().map(IpNet::addr).collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    for subnet in status.networks.iter().flat_map(|network| &network.subnets) {
        let prefix: IpNet = subnet.prefix.parse().expect("a prefix");
        let held = all.iter().filter(|address| prefix.contains(&address.addr())).count();
        assert_eq!(subnet.in_use, held as u64, "leases of {prefix}: {all:?}");
    }
    let macs: BTreeSet<_> = nics.iter().map(|nic| &nic.nic_mac).collect();
    assert_eq!(macs.len(), nics.len());
}
