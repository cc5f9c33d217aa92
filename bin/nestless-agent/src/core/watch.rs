//! What happens without a call: NICs come and go, sandboxes die, the host comes back.

use super::{
    agent::{Agent, DeadSandboxes},
    attachments::{Phase, Record},
};
use nestless_guest::{home::Home, sandbox_watch::SandboxNumber};
use nestless_support::{error_chain::in_full, telemetry::TraceParent};
use std::{sync::Arc, time::Duration};

/// A virtio NIC comes back to the root namespace a moment after its sandbox's death was told. A veth never does.
const RETURN_DEADLINE: Duration = Duration::from_secs(2);
/// Between two attempts to tell a host that is connected and refuses.
const DETACH_PAUSE: Duration = Duration::from_secs(5);

impl Agent {
    /// Runs until the parking or the sandbox watch ends, without which the agent must be restarted.
    pub(crate) async fn watch(self: Arc<Self>, mut dead: DeadSandboxes) {
        let mut waiting = self.parking.waiting();
        loop {
            tokio::select! {
                number = dead.recv() => match number {
                    Some(number) => drop(tokio::spawn(Arc::clone(&self).bury(number))),
                    None => return,
                },
                changed = waiting.changed() => match changed {
                    Ok(()) => self.look_for_strays(),
                    Err(_) => return,
                },
            }
        }
    }

    /// A NIC that waits although somebody should have it lost its home.
    fn look_for_strays(self: &Arc<Self>) {
        let waiting = self.parking.waiting().borrow().clone();
        let stray = |record: &Record| {
            record.phase == Phase::InUse && record.nic.is_some_and(|nic| waiting.holds(nic))
        };
        for record in self.attachments.all().into_iter().filter(stray) {
            let agent = Arc::clone(self);
            tokio::spawn(async move {
                let _guard = agent.locks.container(&record.attachment.container).await;
                // The set lags behind the kernel by an event, and a call may have dealt with it while the lock was waited for.
                let Some(nic) = record.nic else { return };
                if agent.parking.holds(nic).await
                    && agent.attachments.get(&record.attachment).as_ref() == Some(&record)
                {
                    agent.lost(record).await;
                }
            });
        }
    }

    async fn bury(self: Arc<Self>, number: SandboxNumber) {
        for record in self.attachments.all().into_iter().filter(|record| record.number == Some(number)) {
            let _guard = self.locks.container(&record.attachment.container).await;
            if self.attachments.get(&record.attachment).as_ref() != Some(&record) {
                continue;
            }
            if let Some(nic) = record.nic {
                // Then it need not be looked for in the sandbox.
                self.parking.wait_for_return(nic, RETURN_DEADLINE).await;
            }
            self.lost(record).await;
        }
    }

    async fn lost(&self, record: Record) {
        let trace = TraceParent::root();
        tracing::warn!(attachment = %record.attachment, trace_id = trace.trace_id(), "a sandbox vanished without DEL; detaching");
        if let Err(error) = self.release(record, None, trace).await {
            tracing::warn!(error = in_full(&error), "what a vanished sandbox had is not all gone");
        }
    }

    /// From now on the sandbox's death is told. Without a number it is noticed at the next connect.
    pub(super) async fn number(&self, home: &Home) -> Option<SandboxNumber> {
        let Home::Sandbox(sandbox) = home else { return None };
        match self.sandboxes.number(sandbox).await {
            Ok(number) => Some(number),
            Err(error) => {
                tracing::warn!(error = in_full(&error), "a sandbox cannot be watched");
                None
            }
        }
    }

    /// Tells a connected host what it has not heard yet. Runs until cancelled.
    pub(crate) async fn settle_all(self: Arc<Self>) {
        loop {
            self.detaching.notified().await;
            while self.settle_pending().await > 0 {
                tokio::time::sleep(DETACH_PAUSE).await;
            }
        }
    }

    /// How many are left for a host that is connected: the next connect begins anew.
    pub(super) async fn settle_pending(&self) -> usize {
        let mut left = 0;
        for record in self.attachments.all().into_iter().filter(|record| record.phase == Phase::Detaching) {
            let _guard = self.locks.container(&record.attachment.container).await;
            if self.attachments.get(&record.attachment).as_ref() != Some(&record) {
                continue;
            }
            if self.host.is_away() {
                return 0;
            }
            if let Err(error) = self.settle(&record, TraceParent::root()).await {
                left += 1;
                tracing::debug!(attachment = %record.attachment, %error, "the host has not heard of a detachment yet");
            }
        }
        left
    }
}
