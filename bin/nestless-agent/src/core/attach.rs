//! A NIC for somebody: asked of the host, set up at home, confirmed.

use super::{
    agent::Agent,
    attachments::{BeginError, Phase, Record},
    error::{AttachError, KeepError},
    request::{AttachRequest, Attached},
};
use crate::host_client::{HostError, Offer, Wish, patiently};
use nestless_guest::{
    home::Home,
    lent_nic::LentNicError,
    pod_nic::{Device, PodNicError},
};
use nestless_model::refusal::Reason;
use nestless_support::{error_chain::in_full, telemetry::TraceParent};
use std::sync::Arc;

impl Agent {
    /// On an error nothing is attached, and the home is as it was; what could not be taken back is tried again.
    pub(crate) async fn attach(
        self: &Arc<Self>,
        request: AttachRequest,
        trace: TraceParent,
    ) -> Result<Attached, AttachError> {
        let _guard = self.locks.container(&request.attachment.container).await;
        self.refuse_a_second(&request, trace).await?;
        let mut record = Record {
            conf: Some(request.conf.clone()),
            ports: request.port_mappings.clone(),
            ..Record::at_home(request.attachment.clone(), &request.home)
        };
        self.begin(&record)?;
        let mut offer = match self.ask(wish(&request, &record), trace).await {
            Ok(offer) => offer,
            Err(refused @ HostError::Refused { .. }) => {
                // The host has nothing to take back.
                self.attachments.remove(&request.attachment);
                return Err(refused.into());
            }
            Err(error) => {
                self.take_back(record, &request.home, trace).await;
                return Err(error.into());
            }
        };
        if !self.has_ipv6 && offer.drop_ipv6() {
            tracing::warn!(attachment = %request.attachment, "the host gives IPv6 addresses, which this VM's kernel has no use for: IPv4 alone");
        }
        let configured = match self.set_up(&request, &offer, &mut record).await {
            Ok(configured) => configured,
            Err(error) => {
                self.take_back(record, &request.home, trace).await;
                return Err(error);
            }
        };
        tracing::info!(attachment = %request.attachment, nic = %offer.nic_mac, addresses = ?offer.addresses(), warm = offer.warm,
            pod = format!("{}/{}", request.pod.namespace, request.pod.name), trace_id = trace.trace_id(), "attached");
        self.confirm(&record, configured.device.clone(), trace);
        Ok(Attached { offer, configured })
    }

    /// Asks the host. Where all NICs are taken, and one is just being made anew after a pod or the host has not heard of it yet,
    /// it is told first and asked again.
    async fn ask(&self, wish: Wish, trace: TraceParent) -> Result<Offer, HostError> {
        let offer = self.host.attach(wish.clone(), trace).await;
        let is_full = matches!(offer, Err(HostError::Refused { reason: Reason::NoCapacity, .. }));
        if !is_full {
            return offer;
        }
        self.parking.wait_for_renewals(self.deadlines.nic).await;
        if self.has_reported(&self.parking.waiting().borrow()) {
            return offer;
        }
        self.report().await?;
        self.host.attach(wish, trace).await
    }

    fn begin(&self, record: &Record) -> Result<(), AttachError> {
        self.attachments.begin(record.clone()).map_err(|error| match error {
            BeginError::Port(clash) => clash.into(),
            BeginError::Write(source) => KeepError { attachment: record.attachment.clone(), source }.into(),
        })
    }

    /// Nothing is changed by a request for what is there already.
    async fn refuse_a_second(&self, request: &AttachRequest, trace: TraceParent) -> Result<(), AttachError> {
        let AttachRequest { attachment, home, .. } = request;
        match self.attachments.get(attachment) {
            Some(record) if record.phase == Phase::InUse => {
                let nic = record.nic.map_or_else(|| "not yet known".to_owned(), |nic| nic.to_string());
                return Err(AttachError::AlreadyAttached { attachment: attachment.clone(), nic });
            }
            // An earlier life of the same container: the host must hear of its end before it can begin anew.
            Some(record) => self.settle(&record, trace).await?,
            None => {}
        }
        let name = home.link_name(&attachment.interface);
        let is_taken = home.has_link(&self.parking, name).await;
        match (home, is_taken) {
            (_, Ok(false)) => Ok(()),
            (Home::Sandbox(_), Ok(true)) => {
                Err(PodNicError::InterfaceExists { interface: name.clone() }.into())
            }
            (Home::Sandbox(_), Err(source)) => Err(PodNicError::Look { source }.into()),
            (Home::Vm(_), Ok(true)) => Err(LentNicError::NameTaken { name: name.clone() }.into()),
            (Home::Vm(_), Err(source)) => Err(LentNicError::Look { source }.into()),
        }
    }

    /// After a failure. The first failure is what the front is told.
    async fn take_back(&self, record: Record, home: &Home, trace: TraceParent) {
        if let Err(error) = self.release(record, Some(home), trace).await {
            tracing::warn!(
                error = in_full(&error),
                "what a failed request attached was not taken back whole; what is left is tried again"
            );
        }
    }

    /// Tells the host that the NIC is in use, beside the caller's way. What gets lost here is told after the next connect.
    pub(super) fn confirm(self: &Arc<Self>, record: &Record, device: Device, trace: TraceParent) {
        let (agent, attachment, nic) = (Arc::clone(self), record.attachment.clone(), record.nic);
        tokio::spawn(async move {
            let confirm = || async {
                // Detached meanwhile: another NIC may serve the same interface by now.
                let current = agent.attachments.get(&attachment).is_some_and(|record| record.nic == nic);
                if current { agent.host.confirm(&attachment, device.clone(), trace).await } else { Ok(()) }
            };
            if let Err(error) = patiently(confirm).await {
                tracing::debug!(%attachment, %error, "a NIC is not confirmed yet");
            }
        });
    }
}

fn wish(request: &AttachRequest, record: &Record) -> Wish {
    Wish {
        attachment: request.attachment.clone(),
        purpose: request.purpose.clone(),
        sandbox: record.sandbox.clone().unwrap_or_default(),
        pod: request.pod.clone(),
    }
}
