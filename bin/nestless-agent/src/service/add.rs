//! ADD: a NIC of the host's, in the sandbox, configured.

use super::{Agent, chain};
use crate::{
    attachments::{Phase, Record},
    host::{AttachWish, HostError, Offer},
};
use nestless_guest::{
    loopback_endpoint::{self, LoopbackEndpoint, LoopbackEndpointError},
    parking::ParkingError,
    pod_nic::{self, Configured, PodNicError, SandboxRoute},
    port_mapping,
};
use nestless_model::{
    cni::{Add, CniError, CniResult, Dns, Interface, Ip, Mode, NetworkConf, Route},
    identity::AttachmentId,
    refusal::Reason,
};
use nestless_support::{netlink::Netlink, netns::Namespace, telemetry::TraceParent};
use std::{error::Error as _, net::IpAddr, sync::Arc};

impl Agent {
    pub(super) async fn add(
        self: &Arc<Self>,
        add: Add,
        sandbox: Namespace,
        trace: TraceParent,
    ) -> Result<CniResult, CniError> {
        if add.conf.mode == Mode::Loopback && add.join.is_none() {
            // The pod is whole: its localhost is its own.
            return Ok(add.conf.prev_result.unwrap_or_default());
        }
        let _guard = self.locks.container(&add.attachment.container).await;
        self.refuse_a_second(&add, &sandbox, trace).await?;
        let mut record = Record {
            conf: Some(add.conf.name.clone()),
            sandbox: Some(add.sandbox.clone()),
            ..Record::new(add.attachment.clone(), Phase::Attaching)
        };
        self.keep(&record)?;
        let offered = match &add.join {
            None => self.host.attach(wish(&add), trace).await,
            Some(group) => self.host.join(wish(&add), group, trace).await,
        };
        let offer = match offered {
            Ok(offer) => offer,
            Err(refused @ HostError::Refused { .. }) => {
                // The host has nothing to take back.
                self.attachments.remove(&add.attachment);
                return Err(refused.into());
            }
            Err(error) => {
                self.take_back(record, &sandbox, trace).await;
                return Err(error.into());
            }
        };
        let configured = match self.set_up(&add, &offer, &sandbox, &mut record).await {
            Ok(configured) => configured,
            Err(error) => {
                self.take_back(record, &sandbox, trace).await;
                return Err(error);
            }
        };
        tracing::info!(attachment = %add.attachment, nic = %offer.nic_mac, addresses = ?offer.addresses, warm = offer.warm,
            pod = format!("{}/{}", add.pod.namespace, add.pod.name), trace_id = trace.trace_id(), "attached");
        self.confirm(&record, configured.device.clone(), trace);
        Ok(result(&add, &offer, &configured).after(add.conf.prev_result.as_ref()))
    }

    /// Nothing is changed by an ADD for what is there already.
    async fn refuse_a_second(
        &self,
        add: &Add,
        sandbox: &Namespace,
        trace: TraceParent,
    ) -> Result<(), CniError> {
        match self.attachments.get(&add.attachment) {
            Some(record) if record.phase == Phase::InUse => {
                let message = format!("{} has a NIC already, {}", add.attachment, shown(&record));
                return Err(CniError::new(Reason::AlreadyAttached, message));
            }
            // An earlier life of the same container: the host must hear of its end before it can begin anew.
            Some(record) => self.settle(&record, trace).await?,
            None => {}
        }
        let look =
            async { Netlink::inside(sandbox).await?.link_if_any(add.attachment.interface.as_str()).await };
        match look.await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => {
                Err(PodNicError::InterfaceExists { interface: add.attachment.interface.clone() }.into_cni())
            }
            Err(source) => Err(PodNicError::Look { source }.into_cni()),
        }
    }

    async fn set_up(
        &self,
        add: &Add,
        offer: &Offer,
        sandbox: &Namespace,
        record: &mut Record,
    ) -> Result<Configured, CniError> {
        record.nic = Some(offer.nic_mac);
        record.mapped = !add.attachment.is_endpoint() && !add.conf.runtime.port_mappings.is_empty();
        self.keep(record)?;
        self.parking.wait_for(offer.nic_mac, self.deadlines.nic).await.map_err(|error| {
            let code = match error {
                ParkingError::Absent { .. } => Reason::NicTimeout,
                _ => Reason::SandboxSetup,
            };
            CniError::new(code, chain(&error))
        })?;
        let configured = match offer.endpoint() {
            Some(endpoint) => self.join(sandbox, &endpoint).await?,
            None => {
                let nic = offer.pod_nic(&add.attachment.interface);
                pod_nic::configure(&self.parking, sandbox, &nic).await.map_err(PodNicError::into_cni)?
            }
        };
        if record.mapped {
            map_ports(add, offer).await?;
        }
        record.number = self.number(sandbox).await;
        record.phase = Phase::InUse;
        self.keep(record)?;
        Ok(configured)
    }

    async fn join(&self, sandbox: &Namespace, endpoint: &LoopbackEndpoint) -> Result<Configured, CniError> {
        loopback_endpoint::join(&self.parking, sandbox, endpoint)
            .await
            .map_err(LoopbackEndpointError::into_cni)?;
        let device = pod_nic::device(sandbox, &AttachmentId::endpoint_interface()).await;
        Ok(Configured { device, routes: Vec::new() })
    }

    /// After a failure. The first failure is what the runtime is told.
    async fn take_back(&self, record: Record, sandbox: &Namespace, trace: TraceParent) {
        if let Err(error) = self.release(record, Some(sandbox), trace).await {
            tracing::warn!(%error, "a failed ADD was not taken back whole; what is left is tried again");
        }
    }
}

trait IntoCni {
    fn into_cni(self) -> CniError;
}

impl IntoCni for PodNicError {
    fn into_cni(self) -> CniError {
        let code = match self {
            Self::InterfaceExists { .. } => Reason::InterfaceExists,
            Self::Absent { .. } => Reason::NicTimeout,
            _ => Reason::SandboxSetup,
        };
        CniError::new(code, chain(&self))
    }
}

impl IntoCni for LoopbackEndpointError {
    fn into_cni(self) -> CniError {
        let code = match self {
            Self::Exists => Reason::InterfaceExists,
            Self::Absent { .. } => Reason::NicTimeout,
            _ => Reason::SandboxSetup,
        };
        CniError::new(code, chain(&self))
    }
}

fn wish(add: &Add) -> AttachWish {
    let runtime = &add.conf.runtime;
    AttachWish {
        attachment: add.attachment.clone(),
        network: add.conf.network.clone(),
        addresses: runtime.ips.clone(),
        mac: runtime.mac,
        bandwidth: runtime.bandwidth,
        sandbox: add.sandbox.clone(),
        pod: add.pod.clone(),
    }
}

async fn map_ports(add: &Add, offer: &Offer) -> Result<(), CniError> {
    let attachment = add.attachment.clone();
    let mappings = add.conf.runtime.port_mappings.clone();
    let addresses: Vec<IpAddr> = offer.addresses.iter().map(|address| address.addr()).collect();
    let failed = |message| CniError::new(Reason::PortMapping, message);
    tokio::task::spawn_blocking(move || port_mapping::set(&attachment, &addresses, &mappings))
        .await
        .map_err(|e| failed(e.to_string()))?
        .map_err(|e| match e.source() {
            Some(cause) => failed(e.to_string()).because(chain(cause)),
            None => failed(e.to_string()),
        })
}

fn shown(record: &Record) -> String {
    record.nic.map_or_else(|| "not yet known".to_owned(), |nic| nic.to_string())
}

fn result(add: &Add, offer: &Offer, configured: &Configured) -> CniResult {
    let gateway = |v4: bool| {
        let default = offer
            .routes
            .iter()
            .find(|r| r.destination.prefix_len() == 0 && r.destination.addr().is_ipv4() == v4);
        default.and_then(|route| route.gateway)
    };
    CniResult {
        interfaces: vec![Interface {
            name: add.attachment.interface.to_string(),
            mac: offer.pod_mac.to_string(),
            mtu: Some(offer.mtu.bytes()),
            sandbox: add.sandbox.clone(),
            socket_path: String::new(),
            pci_id: configured.device.pci_address.clone(),
        }],
        ips: offer
            .addresses
            .iter()
            .map(|address| Ip {
                interface: Some(0),
                address: *address,
                gateway: gateway(address.addr().is_ipv4()),
            })
            .collect(),
        routes: configured.routes.iter().map(route).collect(),
        // Names are looked up by way of the interface before us.
        dns: if add.attachment.is_endpoint() { Dns::default() } else { dns(&add.conf, offer) },
    }
}

fn route(there: &SandboxRoute) -> Route {
    let SandboxRoute { route, metric, table } = *there;
    Route { priority: metric, table, ..Route::new(route.destination, route.gateway) }
}

/// The nearest wins: the container's, the configuration's, the host network's.
fn dns(conf: &NetworkConf, offer: &Offer) -> Dns {
    match &conf.runtime.dns {
        Some(dns) => dns.clone(),
        None if conf.dns != Dns::default() => conf.dns.clone(),
        None => Dns { nameservers: offer.dns_servers.clone(), ..Dns::default() },
    }
}
