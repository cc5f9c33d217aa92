//! What a VM asks of its host. The VM is the channel's; the quota is the VM's.

use super::{
    Refusal,
    input::{self, Hello},
    joining::Joining,
    quota::{Lines, Quotas},
    refusal::for_guest,
    translate,
};
use crate::{channel::Peer, daemon::Host, vms::Served};
use nestless_host::vm::{AttachRequest as Order, RequestError, VmHandle};
use nestless_model::{
    address::Family,
    attachment::{AttachRefusal, Granted, Limits, Reservation, Wish},
    refusal::Reason,
};
use nestless_proto::{
    AttachRequest, AttachResponse, CapacityRequest, CapacityResponse, CheckRequest, CheckResponse,
    ConfirmRequest, ConfirmResponse, DetachRequest, DetachResponse, HelloRequest, HelloResponse, JoinRequest,
    JoinResponse, ListRequest, ListResponse, ReleaseAddressRequest, ReleaseAddressResponse, ReportRequest,
    ReportResponse, ReserveAddressRequest, ReserveAddressResponse, guest_server::Guest,
};
use nestless_support::telemetry::TraceParent;
use std::{sync::Arc, time::Instant};
use tonic::{Request, Response, Status};
use tracing::info;

pub(crate) struct GuestService {
    host: Arc<Host>,
    quotas: Quotas,
    lines: Lines,
    joining: Joining,
}

/// A checked caller.
struct Caller<'a> {
    handle: VmHandle,
    limits: Limits,
    lines: &'a Lines,
    trace: String,
}

/// What a VM hears whose calls, or the answers that it does not take away, fill its allowance.
pub(crate) fn too_many_calls(Peer(vm): &Peer) -> Status {
    let text = format!("VM {vm}: too many requests at once; wait for the answers of earlier ones");
    Refusal::new(Reason::RateLimited, text).into()
}

impl GuestService {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self { host, quotas: Quotas::new(), lines: Lines::new(), joining: Joining::default() }
    }

    fn caller<T>(&self, request: &Request<T>) -> Result<Caller<'_>, Status> {
        let Peer(vm) = request
            .extensions()
            .get::<Peer>()
            .ok_or_else(|| Status::internal("a channel without an owner; this is a bug"))?;
        // A reload has taken it out, or is about to begin with it anew.
        let Served { handle, limits } = self
            .host
            .vms
            .get(vm)
            .ok_or_else(|| Status::unavailable(format!("VM {vm} is not served just now; try again")))?;
        if !self.quotas.allows(vm) {
            return Err(Refusal::new(
                Reason::RateLimited,
                format!("VM {vm}: too many requests; wait a second"),
            )
            .into());
        }
        let header = request.metadata().get("traceparent").and_then(|value| value.to_str().ok());
        Ok(Caller { handle, limits, lines: &self.lines, trace: TraceParent::following(header).trace_id() })
    }
}

impl Caller<'_> {
    /// Waits for a NIC, whatever for, and tells what came of it.
    async fn attached(
        &self,
        order: &Order,
        attach: impl Future<Output = Result<Granted, RequestError>>,
    ) -> Result<Granted, Status> {
        let (vm, trace) = (self.handle.vm(), &self.trace);
        let Order { id, pod, wish, .. } = order;
        let began = Instant::now();
        match attach.await {
            Ok(granted) => {
                let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                if self.may_log() {
                    info!(%vm, %id, %wish, pod.namespace, pod.name, nic = %granted.nic, warm = granted.warm, took_us, addresses = ?granted.purpose.addresses(), trace, "attached");
                }
                Ok(granted)
            }
            Err(error) => {
                if self.may_log() {
                    info!(%vm, %id, %wish, pod.namespace, pod.name, trace, "not attached: {error}");
                }
                Err(self.refused(&error))
            }
        }
    }

    fn may_log(&self) -> bool {
        self.lines.allow(self.handle.vm())
    }

    fn refused(&self, error: &RequestError) -> Status {
        for_guest(self.handle.vm(), error).into()
    }
}

#[tonic::async_trait]
impl Guest for GuestService {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        let caller = self.caller(&request)?;
        let Hello { boot, version, without_ipv6 } = input::hello(request.into_inner())?;
        let vm = caller.handle.vm();
        if caller.may_log() {
            info!(%vm, agent = version, %boot, without_ipv6, trace = caller.trace, "hello");
        }
        self.host.agents.note(vm, version, without_ipv6);
        caller.handle.hello(boot).await.map_err(|error| caller.refused(&error))?;
        let limits = &caller.limits;
        Ok(Response::new(HelloResponse {
            vm: vm.to_string(),
            host_version: env!("CARGO_PKG_VERSION").to_owned(),
            warm_pool: limits.warm_pool,
            networks: self.host.pools.networks().map(|network| network.name.to_string()).collect(),
            default_network: limits.default_network.to_string(),
        }))
    }

    async fn attach(&self, request: Request<AttachRequest>) -> Result<Response<AttachResponse>, Status> {
        let caller = self.caller(&request)?;
        let mut order = input::attach_request(request.into_inner())?;
        if let Wish::Pod(wish) = &mut order.wish
            && self.host.agents.get(caller.handle.vm()).without_ipv6
        {
            wish.only = Some(Family::V4);
        }
        let granted = caller.attached(&order, caller.handle.attach(order.clone())).await?;
        let network = self.host.pools.network(&granted.network);
        Ok(Response::new(translate::attach_response(&granted, network)))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let caller = self.caller(&request)?;
        let order = input::join_request(request.into_inner())?;
        let joining = self.joining.attach(&self.host, &caller.handle, order.clone());
        let granted = caller.attached(&order, joining).await?;
        Ok(Response::new(translate::join_response(&granted)))
    }

    async fn confirm(&self, request: Request<ConfirmRequest>) -> Result<Response<ConfirmResponse>, Status> {
        let caller = self.caller(&request)?;
        let (id, pci_address) = input::confirm(request.into_inner())?;
        caller.handle.confirm(id, pci_address).await.map_err(|error| caller.refused(&error))?;
        Ok(Response::new(ConfirmResponse {}))
    }

    async fn detach(&self, request: Request<DetachRequest>) -> Result<Response<DetachResponse>, Status> {
        let caller = self.caller(&request)?;
        let id = input::attachment_id(request.into_inner().attachment)?;
        let existed = caller.handle.detach(id.clone()).await.map_err(|error| caller.refused(&error))?;
        if caller.may_log() {
            info!(vm = %caller.handle.vm(), %id, existed, trace = caller.trace, "detached");
        }
        Ok(Response::new(DetachResponse { existed }))
    }

    async fn reserve_address(
        &self,
        request: Request<ReserveAddressRequest>,
    ) -> Result<Response<ReserveAddressResponse>, Status> {
        let caller = self.caller(&request)?;
        let vm = caller.handle.vm();
        match caller.handle.reserve(input::reserve(request.into_inner())?).await {
            Ok(reservation) => {
                let Reservation { network, address, .. } = &reservation;
                if caller.may_log() {
                    info!(%vm, %network, %address, trace = caller.trace, "reserved");
                }
                Ok(Response::new(translate::reservation(&reservation, self.host.pools.network(network))))
            }
            Err(error) => {
                if caller.may_log() {
                    info!(%vm, trace = caller.trace, "not reserved: {error}");
                }
                Err(caller.refused(&error))
            }
        }
    }

    async fn release_address(
        &self,
        request: Request<ReleaseAddressRequest>,
    ) -> Result<Response<ReleaseAddressResponse>, Status> {
        let caller = self.caller(&request)?;
        let (network, address) = input::release(request.into_inner())?;
        let existed =
            caller.handle.unreserve(network, address).await.map_err(|error| caller.refused(&error))?;
        if caller.may_log() {
            info!(vm = %caller.handle.vm(), %address, existed, trace = caller.trace, "reserved no more");
        }
        Ok(Response::new(ReleaseAddressResponse { existed }))
    }

    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let caller = self.caller(&request)?;
        let id = input::attachment_id(request.into_inner().attachment)?;
        let faults = caller.handle.check(id).await.map_err(|error| caller.refused(&error))?;
        Ok(Response::new(CheckResponse { faults }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let caller = self.caller(&request)?;
        let refused = |error| caller.refused(&error);
        let vm = caller.handle.vm();
        let nics = caller.handle.capacity().await.map_err(refused)?.total;
        let allowance = self.host.allowances.of(vm);
        let share = allowance.for_list(nics as usize).ok_or_else(|| too_many_calls(&Peer(vm.clone())))?;
        let snapshot = caller.handle.snapshot().await.map_err(refused)?;
        let attachments = snapshot
            .nics
            .iter()
            .filter_map(|(record, _)| translate::attachment(record, self.host.pools.network(&record.network)))
            .collect();
        let mut response = Response::new(ListResponse { attachments });
        response.extensions_mut().insert(share);
        Ok(response)
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let caller = self.caller(&request)?;
        let told = input::report(request.into_inner())?;
        caller.handle.report(told).await.map_err(|error| caller.refused(&error))?;
        Ok(Response::new(ReportResponse {}))
    }

    async fn capacity(
        &self,
        request: Request<CapacityRequest>,
    ) -> Result<Response<CapacityResponse>, Status> {
        let caller = self.caller(&request)?;
        let asked = input::capacity(request.into_inner())?;
        let network = asked.unwrap_or_else(|| caller.limits.default_network.clone());
        if self.host.pools.network(&network).is_none() {
            return Err(Refusal::new(
                Reason::UnknownNetwork,
                format!("there is no network {network} on this host"),
            )
            .into());
        }
        let vm = caller.handle.vm();
        let capacity = caller.handle.capacity().await.map_err(|error| caller.refused(&error))?;
        let free_addresses = self.host.pools.free_addresses(&network);
        let exhausted = if !capacity.has_room() {
            if capacity.none_visible {
                let none_visible = AttachRefusal::NoneVisible;
                Some(for_guest(vm, &RequestError::Refused { vm: vm.clone(), refusal: none_visible }))
            } else {
                let text = format!("VM {vm}: all {} NICs are taken ({})", capacity.limit, capacity.because);
                Some(Refusal::new(Reason::NoCapacity, text))
            }
        } else if free_addresses == 0 {
            Some(Refusal::new(Reason::NoFreeAddress, format!("network {network}: no address is free")))
        } else {
            None
        };
        Ok(Response::new(CapacityResponse {
            limit: capacity.limit,
            in_use: capacity.in_use,
            spare: capacity.spare,
            free_addresses,
            exhausted: exhausted.map(Into::into),
        }))
    }
}
