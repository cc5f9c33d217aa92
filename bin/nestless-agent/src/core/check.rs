//! Is an attachment as it should be, and could there be another one?

use super::{
    agent::Agent,
    attachments::{Phase, Record},
    error::{CheckError, NotReady},
};
use nestless_guest::{
    loopback_endpoint,
    pod_nic::{self, Observed},
    port_mapping::{self, Mapped},
};
use nestless_model::{
    identity::{AttachmentId, NetworkName},
    refusal::Reason,
};
use nestless_support::{error_chain::in_full, netns::Namespace, telemetry::TraceParent};

impl Agent {
    /// Here and on the host. What the front remembers of it is compared with what is there by the front: `differences`.
    pub(crate) async fn check(
        &self,
        attachment: &AttachmentId,
        sandbox: &Namespace,
        differences: impl FnOnce(&Observed) -> Vec<String>,
        trace: TraceParent,
    ) -> Result<(), CheckError> {
        let _guard = self.locks.container(&attachment.container).await;
        let record = self.attachments.get(attachment).filter(|record| record.phase == Phase::InUse);
        let mapped = record.as_ref().and_then(Record::mapped);
        let nic = record.and_then(|record| record.nic);
        let nic = nic.ok_or_else(|| CheckError::NotAttached { attachment: attachment.clone() })?;
        let differs = |faults| CheckError::Differs { attachment: attachment.clone(), faults };
        let observed = pod_nic::inspect(sandbox, nic).await.map_err(|e| differs(vec![in_full(&e)]))?;
        let Some(observed) = observed else {
            return Err(differs(vec![format!("the NIC with MAC address {nic} is not in the sandbox")]));
        };
        let mut faults = differences(&observed);
        if attachment.is_endpoint() {
            faults.extend(amiss_with_steer(attachment, sandbox).await);
        }
        faults.extend(amiss_with_ports(mapped).await);
        match self.host.check(attachment, trace).await {
            Ok(found) => faults.extend(found),
            // What was found here is worth telling at once; otherwise nothing is known.
            Err(error) if faults.is_empty() => return Err(error.into()),
            Err(_) => {}
        }
        if faults.is_empty() { Ok(()) } else { Err(differs(faults)) }
    }

    /// Could something be attached that a scheduler may send? Running pods need neither agent nor host. Who has filled the
    /// VM with pods knows that it is full, and a kubelet that hears "not ready" of it drives those pods away.
    pub(crate) async fn ready(
        &self,
        network: Option<&NetworkName>,
        trace: TraceParent,
    ) -> Result<(), NotReady> {
        let capacity = self.host.capacity(network, trace).await?;
        let Some(refusal) = capacity.exhausted else { return Ok(()) };
        let is_full = Reason::from_wire(refusal.reason) == Some(Reason::NoCapacity) && capacity.in_use > 0;
        if is_full {
            tracing::debug!(
                in_use = capacity.in_use,
                limit = capacity.limit,
                "ready, and full: {}",
                refusal.message
            );
            return Ok(());
        }
        Err(NotReady::Exhausted {
            message: refusal.message,
            in_use: capacity.in_use,
            limit: capacity.limit,
            spare: capacity.spare,
            free_addresses: capacity.free_addresses,
        })
    }
}

async fn amiss_with_ports(mapped: Option<Mapped>) -> Vec<String> {
    let Some(mapped) = mapped else { return Vec::new() };
    match tokio::task::spawn_blocking(move || port_mapping::check(&mapped)).await {
        Ok(Ok(faults)) => faults,
        Ok(Err(error)) => vec![in_full(&error)],
        // The agent stops.
        Err(_) => Vec::new(),
    }
}

async fn amiss_with_steer(attachment: &AttachmentId, sandbox: &Namespace) -> Option<String> {
    match loopback_endpoint::is_joined(sandbox).await {
        Ok(true) => None,
        Ok(false) => Some(format!("steer is not on lo and {}", attachment.interface)),
        Err(error) => Some(in_full(&error)),
    }
}
