//! The one way out of a sandbox, whoever asks for it: DEL, GC, a failed ADD, a sandbox that died, a reconcile pass.

use super::{Agent, chain};
use crate::{
    attachments::{Phase, Record},
    host::{HostError, patiently},
};
use nestless_guest::{
    loopback_endpoint,
    pod_nic::{self, Device},
    port_mapping,
    sandbox_watch::SandboxNumber,
};
use nestless_model::{cni::CniError, identity::Mac, refusal::Reason};
use nestless_support::{netns::Namespace, telemetry::TraceParent};
use std::sync::Arc;

impl Agent {
    /// Parks the NIC, removes port mappings and tells the host. A host that is away hears of it later: that is no failure.
    /// The caller holds the container's lock.
    pub(super) async fn release(
        &self,
        mut record: Record,
        sandbox: Option<&Namespace>,
        trace: TraceParent,
    ) -> Result<(), CniError> {
        self.withdraw(&record, sandbox).await?;
        let unmapped = unmap(&record).await;
        record.phase = Phase::Detaching;
        record.number = None;
        self.keep(&record)?;
        if self.host.is_away() {
            tracing::info!(attachment = %record.attachment, trace_id = trace.trace_id(), "the host is away and will hear of a detachment later");
        } else if let Err(error) = self.settle(&record, trace).await {
            tracing::warn!(attachment = %record.attachment, %error, "the host will hear of a detachment later");
            self.detaching.notify_one();
        }
        unmapped
    }

    /// Tells the host that an attachment is over, and forgets it.
    pub(super) async fn settle(&self, record: &Record, trace: TraceParent) -> Result<(), CniError> {
        let existed = match self.host.detach(&record.attachment, trace).await {
            Ok(existed) => existed,
            Err(HostError::Refused { reason: Reason::NotFound, .. }) => false,
            Err(error) => return Err(error.into()),
        };
        self.attachments.remove(&record.attachment);
        if existed {
            tracing::info!(attachment = %record.attachment, trace_id = trace.trace_id(), "detached");
        }
        Ok(())
    }

    async fn withdraw(&self, record: &Record, given: Option<&Namespace>) -> Result<(), CniError> {
        let Some(nic) = record.nic else { return Ok(()) };
        // Waiting already: no sandbox has it.
        if self.parking.holds(nic).await {
            return Ok(());
        }
        let recorded = record.sandbox.as_deref().and_then(|path| Namespace::open(path).ok());
        for sandbox in given.into_iter().chain(&recorded) {
            if self.take_out(record, sandbox, nic).await? {
                break;
            }
        }
        Ok(())
    }

    /// Takes a NIC out of one sandbox; false if it is not there.
    pub(super) async fn take_out(
        &self,
        record: &Record,
        sandbox: &Namespace,
        nic: Mac,
    ) -> Result<bool, CniError> {
        let taken = if record.attachment.is_endpoint() {
            loopback_endpoint::leave(&self.parking, sandbox, nic).await.map_err(|error| chain(&error))
        } else {
            pod_nic::withdraw(&self.parking, sandbox, nic).await.map_err(|error| chain(&error))
        };
        taken
            .map_err(|why| CniError::new(Reason::TeardownIncomplete, format!("{}: {why}", record.attachment)))
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

    /// From now on the sandbox's death is told. Without a number it is noticed at the next connect.
    pub(super) async fn number(&self, sandbox: &Namespace) -> Option<SandboxNumber> {
        match self.sandboxes.number(sandbox).await {
            Ok(number) => Some(number),
            Err(error) => {
                tracing::warn!(error = chain(&error), "a sandbox cannot be watched");
                None
            }
        }
    }
}

async fn unmap(record: &Record) -> Result<(), CniError> {
    if !record.mapped {
        return Ok(());
    }
    let attachment = record.attachment.clone();
    let failed = |message| CniError::new(Reason::TeardownIncomplete, message);
    tokio::task::spawn_blocking(move || port_mapping::remove(&attachment))
        .await
        .map_err(|e| failed(e.to_string()))?
        .map_err(|e| failed(chain(&e)))
}
