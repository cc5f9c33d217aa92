//! ADD: made into a request of the core's, and what came of it into a CNI result.

use crate::{
    core::{Agent, AttachRequest, Attached},
    host_client::{OfferedPod, PodWish, Purpose},
};
use ipnet::IpNet;
use nestless_guest::{home::Home, pod_nic::SandboxRoute};
use nestless_model::{
    attachment::PodRef,
    cni::{Add, CniError, CniResult, Dns, Interface, Ip, Mode, NetworkConf, Route},
};
use nestless_support::{netns::Namespace, telemetry::TraceParent};
use std::sync::Arc;

pub(super) async fn add(
    agent: &Arc<Agent>,
    add: Add,
    sandbox: Namespace,
    trace: TraceParent,
) -> Result<CniResult, CniError> {
    if add.conf.mode == Mode::Loopback && add.join.is_none() {
        // The pod is whole: its localhost is its own.
        return Ok(add.conf.prev_result.unwrap_or_default());
    }
    let attached = agent.attach(request(&add, sandbox), trace).await?;
    Ok(result(&add, &attached).after(add.conf.prev_result.as_ref()))
}

fn request(add: &Add, sandbox: Namespace) -> AttachRequest {
    let runtime = &add.conf.runtime;
    let (purpose, port_mappings) = match &add.join {
        Some(wish) => (Purpose::Endpoint(wish.clone()), Vec::new()),
        None => {
            let wish = PodWish {
                network: add.conf.network.clone(),
                addresses: runtime.ips.clone(),
                mac: runtime.mac,
                bandwidth: runtime.bandwidth,
            };
            (Purpose::Pod(wish), runtime.port_mappings.clone())
        }
    };
    let (namespace, name, uid) = (add.pod.namespace.clone(), add.pod.name.clone(), add.pod.uid.clone());
    AttachRequest {
        attachment: add.attachment.clone(),
        conf: add.conf.name.clone(),
        home: Home::Sandbox(sandbox),
        pod: PodRef { namespace, name, uid },
        purpose,
        port_mappings,
    }
}

fn result(add: &Add, attached: &Attached) -> CniResult {
    let Attached { offer, configured } = attached;
    let interface = Interface {
        name: add.attachment.interface.to_string(),
        mac: offer.mac().to_string(),
        mtu: Some(offer.mtu.bytes()),
        sandbox: add.sandbox.clone(),
        socket_path: String::new(),
        pci_id: configured.device.pci_address.clone(),
    };
    let (ips, dns) = match &offer.purpose {
        Purpose::Pod(pod) => (ips(pod), dns(&add.conf, pod)),
        // It has no address, and names are looked up by way of the interface before it.
        Purpose::Endpoint(_) => (Vec::new(), Dns::default()),
    };
    CniResult { interfaces: vec![interface], ips, routes: configured.routes.iter().map(route).collect(), dns }
}

fn ips(pod: &OfferedPod) -> Vec<Ip> {
    let gateway = |v4: bool| {
        let is_default = |prefix: &IpNet| prefix.prefix_len() == 0 && prefix.addr().is_ipv4() == v4;
        pod.routes.iter().find(|route| is_default(&route.destination)).and_then(|route| route.gateway)
    };
    let ip = |address: &IpNet| Ip {
        interface: Some(0),
        address: *address,
        gateway: gateway(address.addr().is_ipv4()),
    };
    pod.addresses.iter().map(ip).collect()
}

fn route(there: &SandboxRoute) -> Route {
    let SandboxRoute { route, metric, table } = *there;
    Route { priority: metric, table, ..Route::new(route.destination, route.gateway) }
}

/// The nearest wins: the container's, the configuration's, the host network's.
fn dns(conf: &NetworkConf, pod: &OfferedPod) -> Dns {
    match &conf.runtime.dns {
        Some(dns) => dns.clone(),
        None if conf.dns != Dns::default() => conf.dns.clone(),
        None => Dns { nameservers: pod.dns_servers.clone(), ..Dns::default() },
    }
}
