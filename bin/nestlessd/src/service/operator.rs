//! What the host's operator asks.

use super::{Refusal, input, loopback, refusal::refusal, trace, translate};
use crate::{daemon::Host, vms::Served};
use nestless_host::vm::Snapshot;
use nestless_model::{
    attachment::{NicRecord, Phase, VmState},
    identity::VmName,
    network::Uplink,
    refusal::Reason,
};
use nestless_proto::{
    GuardCounters, ListGroupsRequest, ListGroupsResponse, NetworkStatus, NicStatus, ReconcileRequest,
    ReconcileResponse, ReleaseRequest, ReleaseResponse, ShowGroupRequest, ShowGroupResponse, StatusRequest,
    StatusResponse, SubnetStatus, TraceRequest, TraceResponse, VmStatus, operator_server::Operator,
};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use tracing::info;

pub(crate) struct OperatorService {
    host: Arc<Host>,
}

impl OperatorService {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self { host }
    }

    fn vm_status(&self, vm: &VmName, served: &Served, snapshot: &Snapshot) -> VmStatus {
        let agent = self.host.agents.get(vm);
        let limits = &served.limits;
        let state = match (snapshot.state, &snapshot.boot) {
            (VmState::Down, _) => "down",
            (VmState::Paused, _) => "paused",
            (VmState::Ended, _) => "ended",
            (VmState::Running, None) => "booting",
            (VmState::Running, Some(_)) => "running",
        };
        let trouble = match snapshot.state {
            VmState::Down => snapshot.trouble.clone(),
            VmState::Ended => {
                Some("its guest has shut down or crashed, and its hypervisor is still there: reset it or end it".to_owned())
            }
            // The first NIC would be refused.
            _ if snapshot.capacity.limit == 0 => Some(
                "it has no hot-plug port for a NIC: start it with what `nestless topology --nics COUNT` prints".to_owned(),
            ),
            VmState::Running | VmState::Paused => None,
        };
        VmStatus {
            name: vm.to_string(),
            hypervisor: served.handle.hypervisor().name.to_owned(),
            state: state.to_owned(),
            channel: if agent.channels > 0 { "connected" } else { "waiting" }.to_owned(),
            agent_version: agent.version,
            nic_limit: snapshot.capacity.limit,
            in_use: snapshot.capacity.in_use,
            spare: snapshot.capacity.spare,
            quarantined: snapshot.capacity.quarantined,
            warm_pool: limits.warm_pool,
            without_ipv6: agent.without_ipv6,
            trouble: trouble.unwrap_or_default(),
            channel_trouble: agent.trouble,
            reserved_addresses: u32::try_from(snapshot.reserved).unwrap_or(u32::MAX),
            nics: snapshot.nics.iter().map(|(record, phase)| self.nic_status(record, *phase)).collect(),
        }
    }

    fn nic_status(&self, record: &NicRecord, phase: Phase) -> NicStatus {
        let served = record.attachment();
        NicStatus {
            nic_id: record.nic.0,
            phase: phase.to_string(),
            nic_mac: record.mac.to_string(),
            pod_mac: served.map(|_| record.pod_mac().to_string()).unwrap_or_default(),
            link: record.nic.link_name().to_string(),
            network: record.network.to_string(),
            attachment: served.map(|served| translate::wire_id(&served.id)),
            pod: served.map(|served| translate::wire_pod(&served.pod)),
            addresses: record.purpose.addresses().iter().map(ToString::to_string).collect(),
            pci_address: served.map(|served| served.pci_address.clone()).unwrap_or_default(),
            guard: self.counters(record),
            membership: record.membership().map(translate::wire_membership),
            // As with the counters.
            faults: self.host.host_ends.faults(&record.nic.link_name()).unwrap_or_default(),
        }
    }

    fn counters(&self, record: &NicRecord) -> Option<GuardCounters> {
        // A NIC that is just going has none; that is no failure of the status.
        let counters = self.host.host_ends.counters(&record.nic.link_name()).ok()??;
        Some(GuardCounters {
            passed: counters.passed,
            passed_bytes: counters.passed_bytes,
            dropped: counters.dropped.by_reason().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        })
    }
}

#[tonic::async_trait]
impl Operator for OperatorService {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let mut vms = Vec::new();
        for (vm, served) in self.host.vms.all() {
            let snapshot = served.handle.snapshot().await.map_err(|e| Status::from(refusal(&e)))?;
            vms.push(self.vm_status(&vm, &served, &snapshot));
        }
        let networks = self.host.pools.networks().map(|network| NetworkStatus {
            name: network.name.to_string(),
            bridge: network.bridge.to_string(),
            uplink: match &network.uplink {
                Uplink::Nat => "nat".to_owned(),
                Uplink::None => "none".to_owned(),
                Uplink::Interface(link) => link.to_string(),
            },
            mtu_bytes: network.mtu.bytes(),
            subnets: self
                .host
                .pools
                .subnets(&network.name)
                .into_iter()
                .map(|subnet| SubnetStatus {
                    prefix: subnet.prefix.to_string(),
                    gateway: subnet.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
                    in_use: subnet.count.in_use,
                    cooling: subnet.count.cooling,
                    free: subnet.count.free,
                })
                .collect(),
        });
        Ok(Response::new(StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: self.host.started.elapsed().as_secs(),
            vms,
            networks: networks.collect(),
        }))
    }

    async fn trace(&self, request: Request<TraceRequest>) -> Result<Response<TraceResponse>, Status> {
        trace::trace(&self.host, &request.into_inner().pod).await.map(Response::new)
    }

    async fn list_groups(
        &self,
        _: Request<ListGroupsRequest>,
    ) -> Result<Response<ListGroupsResponse>, Status> {
        loopback::list(&self.host).await.map(Response::new)
    }

    async fn show_group(
        &self,
        request: Request<ShowGroupRequest>,
    ) -> Result<Response<ShowGroupResponse>, Status> {
        let wanted = input::group(request.get_ref())?;
        loopback::show(&self.host, &wanted).await.map(Response::new)
    }

    async fn reconcile(&self, _: Request<ReconcileRequest>) -> Result<Response<ReconcileResponse>, Status> {
        let (mut repairs, mut failures) = (Vec::new(), Vec::new());
        match self.host.host_ends.fabric().up().await {
            Ok(steps) => repairs.extend(steps.iter().map(|step| format!("fabric: {step}"))),
            Err(failure) => failures.push(format!("fabric: {:#}", anyhow::Error::new(failure))),
        }
        for (vm, Served { handle, .. }) in self.host.vms.all() {
            match handle.reconcile().await {
                Ok(findings) => {
                    repairs.extend(findings.into_iter().map(|finding| format!("VM {vm}: {finding}")))
                }
                Err(failure) => failures.push(failure.to_string()),
            }
        }
        Ok(Response::new(ReconcileResponse { repairs, failures }))
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        let request = request.into_inner();
        let id = input::attachment_id(request.attachment)?;
        let Served { handle, .. } =
            VmName::new(&*request.vm).ok().and_then(|vm| self.host.vms.get(&vm)).ok_or_else(|| {
                Refusal::new(Reason::NotFound, format!("there is no VM {:?} on this host", request.vm))
            })?;
        let vm = handle.vm();
        let existed = handle.detach(id.clone()).await.map_err(|e| Status::from(refusal(&e)))?;
        info!(%vm, %id, existed, "released by the operator");
        Ok(Response::new(ReleaseResponse { existed }))
    }
}
