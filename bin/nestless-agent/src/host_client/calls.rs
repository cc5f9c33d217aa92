//! Every call to the host, each with its deadline and the caller's trace.

use super::{
    client::{HostClient, Session, traced},
    error::HostError,
    offer::{Listed, Offer},
    wish::{Purpose, Wish, request_id, wire_id},
};
use nestless_guest::{parking::Waiting, pod_nic::Device};
use nestless_model::identity::{AttachmentId, Mac, NetworkName};
use nestless_proto::{
    CapacityRequest, CapacityResponse, CheckRequest, ConfirmRequest, DetachRequest, ListRequest, Refusal,
    ReportRequest, guest_client::GuestClient,
};
use nestless_support::telemetry::TraceParent;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status, transport::Channel};

/// A connection that breaks under the same call again and again is no connection.
const MAX_ATTEMPTS: u32 = 4;
/// How long a call rests that nobody waits for and that the host has put off. Nothing tells when the host has time.
const PUT_OFF: Duration = Duration::from_secs(1);

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

impl HostClient {
    /// A NIC. A connection that breaks is waited for and the request repeated under the same id, so that the host knows it
    /// again.
    pub(crate) async fn attach(&self, wish: Wish, trace: TraceParent) -> Result<Offer, HostError> {
        match wish.into_call() {
            Purpose::Pod(request) => {
                let call = async |mut client: GuestClient<Channel>, request| client.attach(request).await;
                Offer::read(self.repeat(trace, &request, call).await?)
            }
            Purpose::Endpoint(request) => {
                let call = async |mut client: GuestClient<Channel>, request| client.join(request).await;
                Offer::read_join(self.repeat(trace, &request, call).await?)
            }
        }
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
        device: Device,
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

    pub(crate) async fn report(&self, boot_id: &str, waiting: &Waiting) -> Result<(), HostError> {
        let told = |nics: &BTreeSet<Mac>| nics.iter().map(ToString::to_string).collect();
        let (free_nics, spent_nics) = (told(&waiting.free), told(&waiting.spent));
        let request = ReportRequest { boot_id: boot_id.to_owned(), free_nics, spent_nics };
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
        let mut last = 0;
        for _ in 0..MAX_ATTEMPTS {
            let Session { client, generation } = self.session_after(last, self.deadlines.host_wait).await?;
            last = generation;
            let waited = self.deadlines.host_answer;
            let answer = timeout(waited, call(client, traced(trace, request.clone()))).await;
            match answer.map_err(|_| HostError::Timeout { waited })? {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if is_connection_loss(&status) => {}
                Err(status) => return Err(status.into()),
            }
        }
        Err(HostError::Away { waited: self.deadlines.host_wait })
    }
}

/// How tonic tells that the stream broke under a call: no server of ours sends these without a refusal.
fn is_connection_loss(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
        && Refusal::from_status(status).is_none()
}
