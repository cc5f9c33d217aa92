//! The one way out, whoever asks for it: a front, a failed request, a sandbox that died, a reconcile pass.

use super::{
    agent::Agent,
    attachments::{Phase, Record},
    error::{IncompleteError, PortsError, ReleaseError},
    request::DetachRequest,
};
use crate::host_client::HostError;
use nestless_guest::{home::Home, lent_nic, loopback_endpoint, pod_nic, port_mapping};
use nestless_model::{
    identity::{AttachmentId, Mac},
    refusal::Reason,
};
use nestless_support::{error_chain::in_full, telemetry::TraceParent};
use std::error::Error;

impl Agent {
    /// Whatever is left of an attachment goes, any number of times.
    pub(crate) async fn detach(
        &self,
        request: DetachRequest,
        trace: TraceParent,
    ) -> Result<(), ReleaseError> {
        let DetachRequest { attachment, sandbox, sandbox_path } = request;
        let _guard = self.locks.container(&attachment.container).await;
        let record = match self.attachments.get(&attachment) {
            Some(record) => record,
            // The host may know it all the same: from before this run directory.
            None => Record {
                nic: self.nic_of(&attachment, trace).await,
                sandbox: sandbox_path,
                mapped: true,
                ..Record::new(attachment, Phase::Detaching)
            },
        };
        self.release(record, sandbox.map(Home::Sandbox).as_ref(), trace).await
    }

    /// All that are `stale` go. Runs alone, and goes on after a failure.
    pub(crate) async fn detach_stale(
        &self,
        stale: impl Fn(&Record) -> bool,
        trace: TraceParent,
    ) -> Result<(), IncompleteError> {
        let _alone = self.locks.all().await;
        let mut failures = Vec::new();
        for record in self.attachments.all().into_iter().filter(stale) {
            let attachment = record.attachment.clone();
            if let Err(error) = self.release(record, None, trace).await {
                failures.push(format!("{attachment}: {}", in_full(&error)));
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(IncompleteError { failures }) }
    }

    /// Parks the NIC, removes port mappings and tells the host. A host that is away hears of it later: that is no failure.
    /// The caller holds the container's lock.
    pub(super) async fn release(
        &self,
        mut record: Record,
        home: Option<&Home>,
        trace: TraceParent,
    ) -> Result<(), ReleaseError> {
        self.withdraw(&record, home).await?;
        let unmapped = unmap(&record).await;
        if unmapped.is_ok() {
            // Others may have them from now on.
            record.ports.clear();
            record.mapped = false;
        }
        record.phase = Phase::Detaching;
        record.number = None;
        self.keep(&record)?;
        if self.host.is_away() {
            tracing::info!(attachment = %record.attachment, trace_id = trace.trace_id(), "the host is away and will hear of a detachment later");
        } else if let Err(error) = self.settle(&record, trace).await {
            tracing::warn!(attachment = %record.attachment, %error, "the host will hear of a detachment later");
            self.detaching.notify_one();
        }
        Ok(unmapped?)
    }

    /// Tells the host that an attachment is over, and forgets it.
    pub(super) async fn settle(&self, record: &Record, trace: TraceParent) -> Result<(), HostError> {
        let existed = match self.host.detach(&record.attachment, trace).await {
            Err(HostError::Refused { reason: Reason::NotFound, .. }) => false,
            existed => existed?,
        };
        self.attachments.remove(&record.attachment);
        if existed {
            tracing::info!(attachment = %record.attachment, trace_id = trace.trace_id(), "detached");
        }
        Ok(())
    }

    /// The NIC that the host has given to an attachment of which nothing is known here. What stands in the sandbox under that
    /// name tells nothing: it may be another container's. A host that is away is asked after the next connect.
    async fn nic_of(&self, attachment: &AttachmentId, trace: TraceParent) -> Option<Mac> {
        if self.host.is_away() {
            return None;
        }
        let list = self.host.list(trace).await.unwrap_or_else(|error| {
            tracing::warn!(%attachment, %error, "the host cannot be asked whether it knows an attachment");
            Vec::new()
        });
        list.into_iter().find(|listed| listed.attachment == *attachment).map(|listed| listed.nic)
    }

    /// What the caller says of where it is counts only where the NIC is indeed: it may have named another's sandbox.
    async fn withdraw(&self, record: &Record, given: Option<&Home>) -> Result<(), ReleaseError> {
        let Some(nic) = record.nic else { return Ok(()) };
        // Waiting already: no sandbox has it. A lent one has to be left alone no more all the same.
        if record.lent.is_none() && self.parking.holds(nic).await {
            return Ok(());
        }
        if let Some(recorded) = record.home()
            && self.take_out(record, &recorded, nic).await?
        {
            return Ok(());
        }
        if let Some(home @ Home::Sandbox(sandbox)) = given
            && let Ok(Some(_)) = pod_nic::inspect(sandbox, nic).await
        {
            self.take_out(record, home, nic).await?;
        }
        Ok(())
    }

    /// Takes a NIC out of one home; false if it is not there.
    pub(super) async fn take_out(
        &self,
        record: &Record,
        home: &Home,
        nic: Mac,
    ) -> Result<bool, ReleaseError> {
        let attachment = &record.attachment;
        let failed = |source: Box<dyn Error + Send + Sync>| ReleaseError::Nic {
            attachment: attachment.clone(),
            source,
        };
        match home {
            Home::Vm(_) => {
                lent_nic::take_back(&self.parking, nic).await.map_err(|error| failed(error.into()))
            }
            Home::Sandbox(sandbox) if attachment.is_endpoint() => {
                let left = loopback_endpoint::leave(&self.parking, sandbox, nic).await;
                left.map_err(|error| failed(error.into()))
            }
            Home::Sandbox(sandbox) => {
                let withdrawn = pod_nic::withdraw(&self.parking, sandbox, nic).await;
                withdrawn.map_err(|error| failed(error.into()))
            }
        }
    }
}

async fn unmap(record: &Record) -> Result<(), PortsError> {
    if !record.mapped {
        return Ok(());
    }
    let attachment = record.attachment.clone();
    Ok(tokio::task::spawn_blocking(move || port_mapping::remove(&attachment)).await??)
}
