//! A host that keeps its promises, or breaks those that a test wants broken. Its NICs are veths.

use super::PATIENCE;
use nestless_proto::{
    AttachRequest, AttachResponse, Attachment, AttachmentId, CapacityRequest, CapacityResponse, CheckRequest,
    CheckResponse, ConfirmRequest, ConfirmResponse, DetachRequest, DetachResponse, HelloRequest,
    HelloResponse, JoinRequest, JoinResponse, ListRequest, ListResponse, Membership, Refusal,
    ReleaseAddressRequest, ReleaseAddressResponse, ReportRequest, ReportResponse, ReserveAddressRequest,
    ReserveAddressResponse, Route,
    guest_server::{Guest, GuestServer},
    refusal::Reason,
};
use nestless_support::{
    netlink::{HardwareAddress, Netlink, VethEnd},
    netns::Namespace,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};
use tokio::{net::UnixListener, runtime::Runtime};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Code, Request, Response, Status};

type Key = (String, String);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) attachments: BTreeMap<Key, Attachment>,
    pub(crate) free_nics: BTreeSet<String>,
    pub(crate) spent_nics: BTreeSet<String>,
    /// What is detached stays plugged until the agent says that it is spent.
    pub(crate) keep_plugged: bool,
    /// What it says when it is asked how many NICs pods have.
    pub(crate) in_use: u32,
    pub(crate) detached: Vec<Key>,
    pub(crate) traces: Vec<String>,
    pub(crate) requests: BTreeMap<String, AttachResponse>,
    pub(crate) hellos: u32,
    /// Promise NICs, and plug none.
    pub(crate) plug_nothing: bool,
    pub(crate) refuse: Option<Reason>,
    pub(crate) faults: Vec<String>,
    /// So many confirmations and reports are put off.
    pub(crate) put_off: u32,
    /// Plug, and let the answer be lost with the connection this many times.
    pub(crate) lose_answers: u32,
    last_nic: u32,
}

#[derive(Clone)]
pub(crate) struct FakeHost {
    pub(crate) namespace: Namespace,
    vm: Namespace,
    socket: PathBuf,
    state: Arc<(Mutex<State>, Condvar)>,
    server: Arc<Mutex<Option<Runtime>>>,
}

impl FakeHost {
    pub(crate) fn new(socket: PathBuf, vm: Namespace) -> Self {
        let namespace = Namespace::anonymous().unwrap();
        Self { namespace, vm, socket, state: Arc::default(), server: Arc::default() }
    }

    pub(crate) fn start(&self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _ = std::fs::remove_file(&self.socket);
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&self.socket).unwrap()
        };
        let server = tonic::transport::Server::builder().add_service(GuestServer::new(self.clone()));
        runtime.spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
        *self.server.lock().unwrap() = Some(runtime);
    }

    /// Every connection breaks, and nobody listens any more.
    pub(crate) fn stop(&self) {
        let _ = std::fs::remove_file(&self.socket);
        if let Some(runtime) = self.server.lock().unwrap().take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.server.lock().unwrap().is_some()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.state.1.notify_all();
    }

    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut(&State) -> bool) {
        let (state, changed) = &*self.state;
        let waited =
            changed.wait_timeout_while(state.lock().unwrap(), PATIENCE, |state| !condition(state)).unwrap();
        assert!(!waited.1.timed_out(), "waited in vain until {what}");
    }

    async fn plug(&self, nic: u32, mac: &str) {
        let bytes: nestless_model::identity::Mac = mac.parse().unwrap();
        let peer = VethEnd {
            mac: Some(HardwareAddress(bytes.bytes())),
            namespace: Some(self.vm.clone()),
            ..VethEnd::named(format!("eth{nic}"))
        };
        let on_host = Netlink::inside(&self.namespace).await.unwrap();
        on_host.create_veth(&VethEnd::named(format!("nl{nic:x}")), &peer).await.unwrap();
        let link = on_host.link(&format!("nl{nic:x}")).await.unwrap();
        on_host.set_up(&link).await.unwrap();
    }

    async fn unplug(&self, nic: u32) {
        Netlink::inside(&self.namespace).await.unwrap().delete_if_any(&format!("nl{nic:x}")).await.unwrap();
    }

    fn busy(&self) -> Result<(), Status> {
        let mut state = self.state();
        if state.put_off == 0 {
            return Ok(());
        }
        state.put_off -= 1;
        Err(refused(Reason::RateLimited, "too many requests"))
    }

    async fn carry_out(&self, request: Request<AttachRequest>) -> Result<Response<AttachResponse>, Status> {
        let trace = request.metadata().get("traceparent").map(|value| value.to_str().unwrap().to_owned());
        self.change(|state| state.traces.extend(trace));
        let request = request.into_inner();
        let id = key(request.attachment.clone());
        let (plug_nothing, refuse, known) = {
            let state = self.state();
            (state.plug_nothing, state.refuse, state.requests.get(&request.request_id).cloned())
        };
        if let Some(answer) = known {
            return Ok(Response::new(answer));
        }
        if let Some(reason) = refuse {
            return Err(refused(reason, "the test refuses"));
        }
        if self.state().attachments.contains_key(&id) {
            return Err(refused(Reason::AlreadyAttached, "it is attached"));
        }
        let answer = self.promise(&request);
        let attachment = Attachment {
            attachment: request.attachment,
            nic: Some(answer.clone()),
            sandbox: request.sandbox,
            pod: request.pod,
            in_use: false,
            membership: None,
        };
        if !plug_nothing {
            self.plug(answer.nic_id, &answer.nic_mac).await;
        }
        self.change(|state| {
            state.attachments.insert(id, attachment);
            state.requests.insert(request.request_id, answer.clone());
        });
        if std::mem::take(&mut self.state().lose_answers) > 0 {
            // Whoever waits for the loss stops this server; no answer goes out before.
            std::future::pending::<()>().await;
        }
        Ok(Response::new(answer))
    }

    async fn carry_out_join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let id = AttachmentId { container_id: request.container_id, interface: "hostlo0".into() };
        let membership = Membership { group: request.group, fraction: request.fraction, place: 0, size: 16 };
        let attach = AttachRequest {
            request_id: request.request_id,
            attachment: Some(id.clone()),
            sandbox: request.sandbox,
            pod: request.pod,
            ..AttachRequest::default()
        };
        let nic = self.carry_out(Request::from_parts(metadata, extensions, attach)).await?.into_inner();
        self.change(|state| {
            if let Some(attachment) = state.attachments.get_mut(&key(Some(id))) {
                attachment.membership = Some(membership.clone());
            }
        });
        Ok(Response::new(JoinResponse {
            nic_id: nic.nic_id,
            nic_mac: nic.nic_mac,
            mtu_bytes: nic.mtu_bytes,
            warm: nic.warm,
            membership: Some(membership),
        }))
    }

    /// Every network but the default one has addresses of its own.
    fn promise(&self, request: &AttachRequest) -> AttachResponse {
        let net = if matches!(request.network.as_str(), "" | "pods") { 77 } else { 78 };
        let mut state = self.state();
        state.last_nic += 1;
        let nic = state.last_nic;
        let nic_mac = format!("4e:4c:00:01:{:02x}:{:02x}", nic >> 8, nic & 0xff);
        let route = |destination: &str, gateway: &str| Route {
            destination: destination.into(),
            gateway: gateway.into(),
        };
        AttachResponse {
            nic_id: nic,
            pod_mac: if request.mac.is_empty() { nic_mac.clone() } else { request.mac.clone() },
            nic_mac,
            addresses: vec![
                format!("10.{net}.{}.{}/16", nic >> 8, 2 + (nic & 0xff)),
                format!("fd00:{net}::1:{nic:x}/64"),
            ],
            routes: vec![
                route("0.0.0.0/0", &format!("10.{net}.0.1")),
                route("::/0", &format!("fd00:{net}::1")),
            ],
            mtu_bytes: 1450,
            dns_servers: vec!["10.77.0.1".into()],
            warm: false,
            network: "pods".into(),
        }
    }
}

/// The agent goes by the reason, whatever the code.
fn refused(reason: Reason, message: &str) -> Status {
    Refusal { reason: reason.into(), message: message.into() }.into_status(Code::FailedPrecondition)
}

fn key(id: Option<AttachmentId>) -> Key {
    let id = id.unwrap();
    (id.container_id, id.interface)
}

#[tonic::async_trait]
impl Guest for FakeHost {
    async fn hello(&self, _: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        self.change(|state| state.hellos += 1);
        Ok(Response::new(HelloResponse {
            vm: "vm".into(),
            default_network: "pods".into(),
            ..HelloResponse::default()
        }))
    }

    async fn attach(&self, request: Request<AttachRequest>) -> Result<Response<AttachResponse>, Status> {
        // What has begun is finished, even when the caller is gone: a host is not cancelled by its guests.
        let host = self.clone();
        tokio::spawn(async move { host.carry_out(request).await }).await.unwrap()
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        // As attach.
        let host = self.clone();
        tokio::spawn(async move { host.carry_out_join(request).await }).await.unwrap()
    }

    async fn confirm(&self, request: Request<ConfirmRequest>) -> Result<Response<ConfirmResponse>, Status> {
        self.busy()?;
        let id = key(request.into_inner().attachment);
        self.change(|state| {
            if let Some(attachment) = state.attachments.get_mut(&id) {
                attachment.in_use = true;
            }
        });
        Ok(Response::new(ConfirmResponse {}))
    }

    async fn detach(&self, request: Request<DetachRequest>) -> Result<Response<DetachResponse>, Status> {
        let id = key(request.into_inner().attachment);
        let attachment = self.state().attachments.get(&id).cloned();
        let nic = attachment.as_ref().and_then(|attachment| attachment.nic.as_ref());
        if let Some(nic) = nic.filter(|_| !self.state().keep_plugged) {
            self.unplug(nic.nic_id).await;
        }
        self.change(|state| {
            state.attachments.remove(&id);
            state.detached.push(id);
        });
        Ok(Response::new(DetachResponse { existed: attachment.is_some() }))
    }

    async fn reserve_address(
        &self,
        _: Request<ReserveAddressRequest>,
    ) -> Result<Response<ReserveAddressResponse>, Status> {
        Err(Status::unimplemented("nobody asks this host"))
    }

    async fn release_address(
        &self,
        _: Request<ReleaseAddressRequest>,
    ) -> Result<Response<ReleaseAddressResponse>, Status> {
        Err(Status::unimplemented("nobody asks this host"))
    }

    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(CheckResponse { faults: self.state().faults.clone() }))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(ListResponse { attachments: self.state().attachments.values().cloned().collect() }))
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        self.busy()?;
        let ReportRequest { free_nics, spent_nics, .. } = request.into_inner();
        for mac in &spent_nics {
            // The last two bytes are its number.
            let number = u32::from_str_radix(&mac[mac.len() - 5..].replace(':', ""), 16).unwrap();
            self.unplug(number).await;
        }
        self.change(|state| {
            state.free_nics = free_nics.into_iter().collect();
            state.spent_nics.extend(spent_nics);
        });
        Ok(Response::new(ReportResponse {}))
    }

    async fn capacity(&self, _: Request<CapacityRequest>) -> Result<Response<CapacityResponse>, Status> {
        let exhausted = self
            .state()
            .refuse
            .map(|reason| Refusal { reason: reason.into(), message: "no place is left".into() });
        let in_use = self.state().in_use;
        Ok(Response::new(CapacityResponse { limit: 64, in_use, exhausted, ..CapacityResponse::default() }))
    }
}
