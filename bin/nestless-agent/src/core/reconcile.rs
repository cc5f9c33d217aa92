//! Looks at the world instead of believing memory: when the agent starts, and whenever the host (re)connects.

use super::{
    agent::Agent,
    attachments::{Phase, Record},
    error::{KeepError, ReleaseError},
};
use crate::host_client::{HostError, Listed, patiently};
use nestless_guest::{home::Home, parking::Waiting, pod_nic, port_mapping};
use nestless_model::identity::{AttachmentId, Mac};
use nestless_support::{error_chain::in_full, telemetry::TraceParent};
use std::sync::{Arc, PoisonError};

impl Agent {
    /// What an earlier agent left. Needs no host; the listener is not open yet.
    pub(crate) async fn resume(self: &Arc<Self>) {
        for mut record in self.attachments.all() {
            let here = match record.nic {
                Some(nic) => self.home_with(&record, nic).await,
                None => None,
            };
            let kept = match here {
                Some(home) => {
                    record.number = self.number(&home).await;
                    self.keep(&record)
                }
                None => self.retire(record).await,
            };
            if let Err(error) = kept {
                tracing::warn!(error = in_full(&error), "what an earlier agent left is not all in order");
            }
        }
        let living: Vec<AttachmentId> =
            self.attachments.all().into_iter().filter(in_use).map(|r| r.attachment).collect();
        let cleaned = tokio::task::spawn_blocking(move || port_mapping::retain(&living)).await;
        if let Ok(Err(error)) = cleaned {
            tracing::warn!(error = in_full(&error), "port mappings of dead pods may be left");
        }
        self.mend_ports().await;
    }

    /// Parks the NIC of an attachment that nobody finished or that lost its home; the host hears of it when it is there.
    async fn retire(&self, mut record: Record) -> Result<(), KeepError> {
        if let (Some(nic), Some(home)) = (record.nic, record.home())
            && let Err(error) = self.take_out(&record, &home, nic).await
        {
            tracing::warn!(error = in_full(&error), "a NIC could not be taken back");
        }
        record.phase = Phase::Detaching;
        // Rules of those that are not in use go in a moment.
        record.ports.clear();
        self.keep(&record)
    }

    /// Follows the host: after each connect the lists are compared, and the waiting NICs are told whenever they change. Runs
    /// until cancelled.
    pub(crate) async fn follow_host(self: Arc<Self>) {
        let mut generation = 0;
        loop {
            generation = self.host.connected_after(generation).await;
            // Side by side: a call that holds a container's lock may be waiting for a NIC that the host plugs only when it
            // has heard of those that wait.
            tokio::join!(self.report_until_broken(generation), self.compare_lists());
        }
    }

    async fn report_until_broken(&self, generation: u64) {
        let mut waiting = self.parking.waiting();
        loop {
            waiting.mark_unchanged();
            if let Err(error) = self.report().await {
                tracing::debug!(%error, "the waiting NICs were not reported");
            }
            tokio::select! {
                changed = waiting.changed() => if changed.is_err() { return },
                () = self.host.broken(generation) => return,
            }
        }
    }

    /// Tells the host which NICs wait now.
    pub(super) async fn report(&self) -> Result<(), HostError> {
        let report = || async {
            let now = self.parking.waiting().borrow().clone();
            self.host.report(&self.boot_id, &now).await.map(|()| now)
        };
        let told = patiently(report).await?;
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = told;
        Ok(())
    }

    /// Whether the host has heard that these wait.
    pub(super) fn has_reported(&self, waiting: &Waiting) -> bool {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) == *waiting
    }

    async fn compare_lists(self: &Arc<Self>) {
        let trace = TraceParent::root();
        let list = patiently(|| self.host.list(trace)).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the host's list cannot be compared");
            Vec::new()
        });
        for listed in list {
            let _guard = self.locks.container(&listed.attachment.container).await;
            if let Err(error) = self.compare(listed, trace).await {
                tracing::warn!(error = in_full(&error), "an attachment that the host knows is not in order");
            }
        }
        if self.settle_pending().await > 0 {
            self.detaching.notify_one();
        }
    }

    async fn compare(self: &Arc<Self>, listed: Listed, trace: TraceParent) -> Result<(), ReleaseError> {
        let known = self.attachments.get(&listed.attachment);
        let record = known.clone().unwrap_or_else(|| Record {
            sandbox: Some(listed.sandbox.clone()),
            nic: Some(listed.nic),
            mapped: true,
            ..Record::new(listed.attachment.clone(), Phase::InUse)
        });
        let nic = record.nic.unwrap_or(listed.nic);
        let Some(home) = self.home_with(&record, nic).await else {
            // An attach or detach that ran while the list was under way has the last word: the lock makes its record
            // current, and an attachment without one was listed before its end was carried out, or is nobody's.
            return self.release(Record { nic: Some(nic), ..record }, None, trace).await;
        };
        if known.is_none() {
            tracing::warn!(attachment = %listed.attachment, "an attachment without a record was found in its sandbox; adopting it");
            self.keep(&Record { number: self.number(&home).await, ..record.clone() })?;
        }
        if !listed.in_use {
            let device = home.device(&self.parking, &listed.attachment.interface).await;
            self.confirm(&record, device, trace);
        }
        Ok(())
    }

    /// The home of an attachment in use, if the NIC is there. Who has borrowed one may have it anywhere but parked.
    async fn home_with(&self, record: &Record, nic: Mac) -> Option<Home> {
        let home = record.home().filter(|_| in_use(record))?;
        let is_there = match &home {
            Home::Sandbox(sandbox) => pod_nic::inspect(sandbox, nic).await.ok().flatten().is_some(),
            Home::Vm(_) => !self.parking.holds(nic).await,
        };
        is_there.then_some(home)
    }
}

fn in_use(record: &Record) -> bool {
    record.phase == Phase::InUse
}
