//! The path of a pod's packets, device by device, as the daemon sees it now.

use super::{Refusal, loopback, translate};
use crate::{daemon::Host, vms::Served};
use nestless_host::vm::VmHandle;
use nestless_model::{
    attachment::NicRecord,
    network::{Network, Uplink},
    refusal::Reason,
};
use nestless_proto::{Hop, TraceResponse};
use tonic::Status;

/// Finds the one pod that `wanted` names, and follows its packets.
pub(super) async fn trace(host: &Host, wanted: &str) -> Result<TraceResponse, Status> {
    let mut found = find(host, wanted).await?;
    let (handle, record) = match found.len() {
        0 => {
            let text = format!("no NIC serves a pod called {wanted:?}: `nestless status` lists the pods");
            return Err(Refusal::new(Reason::NotFound, text).into());
        }
        1 => found.remove(0),
        several => {
            let text = format!(
                "{wanted:?} names {several} NICs: give namespace/name, a longer container id, an address, or whose group it is, as \
                 `nestless loopback ls` shows it"
            );
            return Err(Refusal::new(Reason::Invalid, text).into());
        }
    };
    let hops = hops(host, &handle, &record).await?;
    let served =
        record.attachment().map(|served| (translate::wire_id(&served.id), translate::wire_pod(&served.pod)));
    let (attachment, pod) = served.unzip();
    Ok(TraceResponse { vm: handle.vm().to_string(), attachment, pod, hops })
}

async fn find(host: &Host, wanted: &str) -> Result<Vec<(VmHandle, NicRecord)>, Status> {
    // A split pod's name is that of its interface; its localhost has a name of its own.
    if let Some(fraction) = wanted.strip_prefix("loopback:") {
        let endpoints = loopback::of_fraction(host, fraction).await?.into_iter();
        return Ok(endpoints.filter_map(|(vm, record)| Some((host.vms.get(&vm)?.handle, record))).collect());
    }
    let mut found = Vec::new();
    for (_, Served { handle, .. }) in host.vms.all() {
        let snapshot = handle.snapshot().await.map_err(|e| Status::from(super::refusal::refusal(&e)))?;
        let records = snapshot.nics.into_iter().map(|(record, _)| record);
        found.extend(records.filter(|record| is(record, wanted)).map(|record| (handle.clone(), record)));
    }
    Ok(found)
}

/// Whether it is the interface of a pod that is called so.
fn is(record: &NicRecord, wanted: &str) -> bool {
    if record.membership().is_some() {
        return false;
    }
    let Some(served) = record.attachment() else { return false };
    let pod = &served.pod;
    (!pod.name.is_empty() && (wanted == pod.name || wanted == format!("{}/{}", pod.namespace, pod.name)))
        || (wanted.len() >= 4 && served.id.container.as_str().starts_with(wanted))
        || wanted == served.id.container.as_str()
        || record.purpose.ips().iter().any(|ip| ip.to_string() == wanted)
}

async fn hops(host: &Host, handle: &VmHandle, record: &NicRecord) -> Result<Vec<Hop>, Status> {
    let fabric = host
        .host_ends
        .view()
        .await
        .map_err(|e| Status::internal(format!("look at the links: {:#}", anyhow::Error::new(e))))?;
    let served = record.attachment().ok_or_else(|| Status::internal("a NIC without a pod was traced"))?;
    let network = host.pools.network(&record.network);
    let faults = handle.check(served.id.clone()).await.unwrap_or_else(|e| vec![e.to_string()]);
    let plugged = !faults.iter().any(|fault| fault.contains("plugged") || fault.contains("hypervisor"));
    let kind = handle.hypervisor();
    let link = record.nic.link_name();
    let mut hops = Vec::new();
    if let Some(membership) = record.membership() {
        hops.push(loopback::steer_hop(membership, served.confirmed));
    }
    let addressed = format!("{} {}{}", record.pod_mac(), addresses(record), at_pci(&served.pci_address));
    hops.push(Hop {
        place: "pod".into(),
        device: served.id.interface.to_string(),
        kind: kind.device.unwrap_or(kind.host_end).into(),
        detail: addressed,
        seen: served.confirmed,
    });
    if let Some(device) = kind.device {
        hops.push(Hop {
            place: "hypervisor".into(),
            device: record.nic.device_name(),
            kind: device.into(),
            detail: format!("plugged into VM {} by {}", handle.vm(), kind.name),
            seen: plugged,
        });
    }
    if let Some(membership) = record.membership() {
        hops.extend(loopback::reflector_hops(host, membership, kind.host_end).await?);
        return Ok(hops);
    }
    let counters = host.host_ends.counters(&link).ok().flatten();
    let guard = counters.map_or("no guard".to_owned(), |counters| {
        format!(
            "guard passed {}, dropped {}",
            counters.passed,
            counters.dropped.by_reason().map(|(_, n)| n).sum::<u64>()
        )
    });
    hops.push(Hop {
        place: "host".into(),
        device: link.to_string(),
        kind: kind.host_end.into(),
        detail: format!("{guard}; mtu {}", record.mtu.bytes()),
        seen: fabric.is_enslaved(record.nic),
    });
    if let Some(network) = network {
        hops.push(Hop {
            place: "host".into(),
            device: network.bridge.to_string(),
            kind: "bridge".into(),
            detail: format!("network {}; mtu {}", network.name, network.mtu.bytes()),
            seen: fabric.bridge_is_up(&network.bridge),
        });
        hops.extend(uplink(network));
    }
    Ok(hops)
}

fn uplink(network: &Network) -> Option<Hop> {
    let (device, kind, detail) = match &network.uplink {
        Uplink::None => return None,
        Uplink::Nat => (
            network.bridge.to_string(),
            "nat",
            "the host routes and hides the pods behind its own address".to_owned(),
        ),
        Uplink::Interface(link) => (
            link.to_string(),
            "interface",
            "a port of the bridge: pods stand on the outer network".to_owned(),
        ),
    };
    Some(Hop { place: "outside".into(), device, kind: kind.into(), detail, seen: true })
}

fn addresses(record: &NicRecord) -> String {
    record.purpose.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn at_pci(address: &str) -> String {
    if address.is_empty() { String::new() } else { format!(" at PCI {address}") }
}
