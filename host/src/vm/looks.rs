//! Looks at the world, one at a time, and what follows from each.

use super::{
    message::{Reply, RequestError, WAITING_REQUESTS},
    observation::VmObservation,
    wheel::{Wheel, finished},
};
use crate::ledger::LedgerError;
use nestless_model::{
    attachment::{Outcome, StepFailure},
    identity::AttachmentId,
};
use std::sync::Arc;
use tokio::task::JoinSet;
use tracing::warn;

pub(super) type EndedLook = Result<VmObservation, StepFailure>;

/// The look under way, and whoever waits for one.
#[derive(Default)]
pub(super) struct Looks {
    under_way: JoinSet<EndedLook>,
    /// For the look under way.
    watched: Vec<Watcher>,
    /// For the next look: the one under way may have begun before what they ask about was done.
    watching: Vec<Watcher>,
    /// Somebody wanted a look while one was under way that had begun too early for them.
    again: bool,
}

/// Who waits for a look at the world.
pub(super) enum Watcher {
    Check(AttachmentId, Reply<Vec<String>>),
    Reconcile(Reply<Vec<String>>),
}

impl Looks {
    /// Starts a look, unless one is under way.
    pub(super) fn start(&mut self, wheel: &Wheel) {
        if self.under_way.is_empty() {
            self.watched.append(&mut self.watching);
            let (executor, as_of) = (Arc::clone(&wheel.executor), wheel.machine.generation());
            self.under_way.spawn(async move { executor.observe(as_of).await });
        } else {
            self.again = true;
        }
    }

    /// Looks for somebody.
    pub(super) fn watch(&mut self, watcher: Watcher, wheel: &Wheel) {
        if self.watching.len() >= WAITING_REQUESTS {
            return watcher.answer(Err(RequestError::Busy { vm: wheel.vm.clone() }));
        }
        self.watching.push(watcher);
        self.start(wheel);
    }

    /// Waits for the end of the look under way; `None` when there is none. May be cancelled.
    pub(super) async fn next_ended(&mut self) -> Option<EndedLook> {
        self.under_way.join_next().await.map(finished)
    }

    /// Has the wheel decide on what a look showed, and answers whoever waited for it.
    pub(super) async fn look_ended(&mut self, look: EndedLook, wheel: &mut Wheel) -> Result<(), LedgerError> {
        let watching = std::mem::take(&mut self.watched);
        match look {
            Ok(observation) => compare(observation, watching, wheel).await?,
            Err(failure) => {
                warn!(vm = %wheel.vm, "could not look at the VM's NICs: {failure}");
                for watcher in watching {
                    let error = RequestError::Observe { vm: wheel.vm.clone(), why: failure.to_string() };
                    watcher.answer(Err(error));
                }
            }
        }
        if std::mem::take(&mut self.again) {
            self.start(wheel);
        }
        Ok(())
    }
}

async fn compare(
    observation: VmObservation,
    watching: Vec<Watcher>,
    wheel: &mut Wheel,
) -> Result<(), LedgerError> {
    wheel.pools.reserve(observation.nics());
    let world = observation.world(|nic| wheel.bridge_of(nic));
    let mut reconciling = Vec::new();
    for watcher in watching {
        match watcher {
            // Of the world as it was found, before anything is mended.
            Watcher::Check(id, reply) => {
                let faults = wheel.machine.faults(&id, &world).ok_or_else(|| wheel.not_found(id));
                let _ = reply.send(faults);
            }
            Watcher::Reconcile(_) => reconciling.push(watcher),
        }
    }
    let mut findings = Vec::new();
    wheel
        .decide(|machine, context| {
            let mut outcome = Outcome::default();
            findings = machine.observed(&world, context, &mut outcome);
            outcome
        })
        .await?;
    for finding in &findings {
        warn!(vm = %wheel.vm, "{finding}");
    }
    for watcher in reconciling {
        watcher.answer(Ok(findings.clone()));
    }
    Ok(())
}

impl Watcher {
    fn answer(self, result: Result<Vec<String>, RequestError>) {
        let (Self::Check(_, reply) | Self::Reconcile(reply)) = self;
        let _ = reply.send(result);
    }
}
