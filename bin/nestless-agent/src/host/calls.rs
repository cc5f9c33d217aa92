//! Every call to the host, each with its deadline and the caller's trace.

use super::{Host, Listed, Offer, Session, offer::wire_id};
use nestless_model::{
    address::RequestedAddress,
    cni::PodArgs,
    guard::{self, Bandwidth},
    identity::{AttachmentId, Mac, NetworkName},
    loopback::JoinWish,
    refusal::Reason,
};
use nestless_proto::{
    AttachRequest, CapacityRequest, CapacityResponse, CheckRequest, ConfirmRequest, DetachRequest,
    JoinRequest, ListRequest, PodRef, RateLimit, Refusal, ReportRequest, guest_client::GuestClient,
};
use nestless_support::telemetry::TraceParent;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status, transport::Channel};

/// A connection that breaks under the same call again and again is no connection.
const MAX_ATTEMPTS: u32 = 4;
/// How long a call rests that nobody waits for and that the host has put off. Nothing tells when the host has time.
const PUT_OFF: Duration = Duration::from_secs(1);

/// Why the host did not serve a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// No connection. The call was not made, or it is not known whether it arrived.
    #[error("the host is not connected (waited {waited:?})")]
    Away { waited: Duration },
    /// It may or may not have been carried out.
    #[error("the host did not answer within {waited:?}")]
    Timeout { waited: Duration },
    /// The host says no, and why. Nothing was changed.
    #[error("{message}")]
    Refused { reason: Reason, message: String },
    /// An answer that cannot be understood, or a failure without a reason.
    #[error("the host failed")]
    Failed(#[source] Status),
    /// An answer with a field that no host should send.
    #[error("the host answered nonsense: {what}")]
    Nonsense { what: String },
}

impl From<Refusal> for HostError {
    fn from(Refusal { reason, message }: Refusal) -> Self {
        // A later host may have reasons that are not known here.
        Self::Refused { reason: Reason::from_wire(reason).unwrap_or(Reason::Internal), message }
    }
}

impl HostError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Away { .. } | Self::Timeout { .. } => Reason::Away,
            Self::Refused { reason, .. } => *reason,
            Self::Failed(_) | Self::Nonsense { .. } => Reason::Internal,
        }
    }

    /// Nothing is wrong with the call: the host has too much to do for this VM just now.
    pub(crate) fn is_put_off(&self) -> bool {
        matches!(self, Self::Refused { reason: Reason::RateLimited, .. })
    }
}

/// What an ADD asks of the host.
pub(crate) struct AttachWish {
    pub(crate) attachment: AttachmentId,
    pub(crate) network: Option<NetworkName>,
    pub(crate) addresses: Vec<RequestedAddress>,
    pub(crate) mac: Option<Mac>,
    pub(crate) bandwidth: Bandwidth,
    pub(crate) sandbox: String,
    pub(crate) pod: PodArgs,
}

/// Makes a call that no runtime waits for, again while the host puts it off.
pub(crate) async fn patiently<A, F>(mut call: impl FnMut() -> F) -> Result<A, HostError>
where
    F: Future<Output = Result<A, HostError>>,
{
    loop {
        match call().await {
            Err(error) if error.is_put_off() => tokio::time::sleep(PUT_OFF).await,
            answer => return answer,
        }
    }
}

impl Host {
    /// A NIC for a pod interface. A connection that breaks is waited for and the request repeated under the same id, so
    /// that the host knows it again.
    pub(crate) async fn attach(&self, wish: AttachWish, trace: TraceParent) -> Result<Offer, HostError> {
        let request = AttachRequest {
            request_id: request_id(),
            attachment: Some(wire_id(&wish.attachment)),
            network: wish.network.map(String::from).unwrap_or_default(),
            addresses: wish.addresses.iter().map(ToString::to_string).collect(),
            mac: wish.mac.map(String::from).unwrap_or_default(),
            egress: wish.bandwidth.egress.map(rate_limit),
            ingress: wish.bandwidth.ingress.map(rate_limit),
            sandbox: wish.sandbox,
            pod: Some(pod_ref(wish.pod)),
        };
        let answer =
            self.repeat(trace, &request, async |mut client, request| client.attach(request).await).await?;
        Offer::read(answer)
    }

    /// A NIC for a fraction's endpoint.
    pub(crate) async fn join(
        &self,
        wish: AttachWish,
        group: &JoinWish,
        trace: TraceParent,
    ) -> Result<Offer, HostError> {
        let request = JoinRequest {
            request_id: request_id(),
            container_id: wish.attachment.container.to_string(),
            group: group.group.to_string(),
            fraction: group.fraction.to_string(),
            size: group.size.map_or(0, u32::from),
            sandbox: wish.sandbox,
            pod: Some(pod_ref(wish.pod)),
        };
        let answer =
            self.repeat(trace, &request, async |mut client, request| client.join(request).await).await?;
        Offer::read_join(answer)
    }

    /// Whether there was something to detach.
    pub(crate) async fn detach(
        &self,
        attachment: &AttachmentId,
        trace: TraceParent,
    ) -> Result<bool, HostError> {
        let request = DetachRequest { request_id: request_id(), attachment: Some(wire_id(attachment)) };
        let answer =
            self.repeat(trace, &request, async |mut client, request| client.detach(request).await).await?;
        Ok(answer.existed)
    }

    pub(crate) async fn confirm(
        &self,
        attachment: &AttachmentId,
        device: nestless_guest::pod_nic::Device,
        trace: TraceParent,
    ) -> Result<(), HostError> {
        let request = ConfirmRequest {
            attachment: Some(wire_id(attachment)),
            pci_address: device.pci_address,
            driver: device.driver,
        };
        self.repeat(trace, &request, async |mut client, request| client.confirm(request).await)
            .await
            .map(drop)
    }

    /// What is amiss with the host's half.
    pub(crate) async fn check(
        &self,
        attachment: &AttachmentId,
        trace: TraceParent,
    ) -> Result<Vec<String>, HostError> {
        let request = CheckRequest { attachment: Some(wire_id(attachment)) };
        let answer =
            self.repeat(trace, &request, async |mut client, request| client.check(request).await).await?;
        Ok(answer.faults)
    }

    pub(crate) async fn capacity(
        &self,
        network: Option<&NetworkName>,
        trace: TraceParent,
    ) -> Result<CapacityResponse, HostError> {
        let request = CapacityRequest { network: network.map(ToString::to_string).unwrap_or_default() };
        self.repeat(trace, &request, async |mut client, request| client.capacity(request).await).await
    }

    pub(crate) async fn list(&self, trace: TraceParent) -> Result<Vec<Listed>, HostError> {
        let request = ListRequest {};
        let answer =
            self.repeat(trace, &request, async |mut client, request| client.list(request).await).await?;
        answer.attachments.into_iter().map(Listed::read).collect()
    }

    pub(crate) async fn report(&self, boot_id: &str, free: &BTreeSet<Mac>) -> Result<(), HostError> {
        let free_nics = free.iter().map(ToString::to_string).collect();
        let request = ReportRequest { boot_id: boot_id.to_owned(), free_nics };
        let trace = TraceParent::root();
        self.repeat(trace, &request, async |mut client, request| client.report(request).await).await.map(drop)
    }

    /// Makes a call that may be repeated, on the connection that there is or the next one.
    async fn repeat<Q: Clone, A>(
        &self,
        trace: TraceParent,
        request: &Q,
        call: impl AsyncFn(GuestClient<Channel>, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, HostError> {
        let mut seen = 0;
        for _ in 0..MAX_ATTEMPTS {
            let Session { client, generation } = self.session_after(seen, self.deadlines.host_wait).await?;
            seen = generation;
            let waited = self.deadlines.host_answer;
            let answer = timeout(waited, call(client, traced(trace, request.clone()))).await;
            match answer.map_err(|_| HostError::Timeout { waited })? {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => match Refusal::from_status(&status) {
                    Some(refusal) => return Err(refusal.into()),
                    None if is_connection_loss(&status) => {}
                    None => return Err(HostError::Failed(status)),
                },
            }
        }
        Err(HostError::Away { waited: self.deadlines.host_wait })
    }
}

/// How tonic tells that the stream broke under a call: no server of ours sends these without a refusal.
fn is_connection_loss(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
}

pub(super) fn traced<T>(trace: TraceParent, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = trace.to_string().parse().expect("hexadecimal digits and dashes are a metadata value");
    request.metadata_mut().insert(TraceParent::HEADER, value);
    request
}

/// One per attempt of ours; a repetition on another connection keeps it.
fn request_id() -> String {
    TraceParent::root().trace_id()
}

fn pod_ref(pod: PodArgs) -> PodRef {
    PodRef { namespace: pod.namespace, name: pod.name, uid: pod.uid }
}

fn rate_limit(limit: guard::RateLimit) -> RateLimit {
    RateLimit { bits_per_second: limit.bits_per_second, burst_bits: limit.burst_bits }
}
