//! The lab's nestlessd, asked what it sees.

use anyhow::{Context as _, ensure};
use nestless_lab::Lab;
use nestless_proto::{
    NicStatus, StatusRequest, TraceRequest, TraceResponse, connection, operator_client::OperatorClient,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tonic::transport::Channel;

/// The daemon tells its state when asked, and does not tell when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A guest without KVM unplugs within a second.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);

/// The operator's connection.
#[derive(Clone, Debug)]
pub struct Operator {
    client: OperatorClient<Channel>,
}

impl Operator {
    /// Connects to the lab's daemon.
    ///
    /// # Errors
    /// When it does not listen.
    pub async fn of(lab: &Lab) -> anyhow::Result<Self> {
        Ok(Self { client: connection::operator(&lab.operator_socket()).await? })
    }

    /// The way of the packets of whatever pod has `address`.
    ///
    /// # Errors
    /// When the daemon knows no such pod.
    pub async fn trace(&self, address: &str) -> anyhow::Result<TraceResponse> {
        let answer = self.client.clone().trace(TraceRequest { pod: address.to_owned() }).await;
        Ok(answer.with_context(|| format!("trace {address}"))?.into_inner())
    }

    /// Waits until a VM's NICs are all at rest, at least `spare` of them spare; the spare ones.
    ///
    /// # Errors
    /// When that does not happen within a minute.
    pub async fn settled(&self, vm: &str, spare: usize) -> anyhow::Result<BTreeSet<u32>> {
        let began = Instant::now();
        loop {
            let nics = self.nics(vm).await?;
            let at_rest = nics.iter().all(|nic| matches!(nic.phase.as_str(), "Spare" | "InUse"));
            let spares = in_phase(&nics, "Spare");
            if at_rest && spares.len() >= spare {
                return Ok(spares);
            }
            let phases: Vec<_> = nics.iter().map(|nic| nic.phase.as_str()).collect();
            ensure!(
                began.elapsed() < SETTLE_DEADLINE,
                "{vm}'s NICs are not at rest, {spare} of them spare, after {SETTLE_DEADLINE:?}: {}",
                phases.join(", ")
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The NICs in a VM's pods.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn in_use(&self, vm: &str) -> anyhow::Result<BTreeSet<u32>> {
        Ok(in_phase(&self.nics(vm).await?, "InUse"))
    }

    async fn nics(&self, vm: &str) -> anyhow::Result<Vec<NicStatus>> {
        let status =
            self.client.clone().status(StatusRequest {}).await.context("ask nestlessd for its status")?;
        let found = status.into_inner().vms.into_iter().find(|status| status.name == vm);
        Ok(found.with_context(|| format!("nestlessd knows no VM {vm}"))?.nics)
    }
}

fn in_phase(nics: &[NicStatus], phase: &str) -> BTreeSet<u32> {
    nics.iter().filter(|nic| nic.phase == phase).map(|nic| nic.nic_id).collect()
}
