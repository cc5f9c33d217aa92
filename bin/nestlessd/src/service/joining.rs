//! A fraction that finds its name taken, or its group full, waits a moment before it is refused.
//!
//! A pod that is deleted by force is made anew while its last sandbox is still being taken down, and one whose VM died before
//! the host has looked. So whoever has the name is looked at now, and what it gives back within a while is taken. One that lives
//! keeps what it has.

use crate::{daemon::Host, vms::Served};
use nestless_host::vm::{AttachRequest, RequestError, VmHandle};
use nestless_model::{attachment::Granted, identity::VmName, loopback::JoinError};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// Longer than a runtime takes to stop a sandbox that is told to go at once, and much shorter than an agent waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Fractions of one VM that wait at once; more are refused without waiting.
const WAITING_AT_ONCE: usize = 16;

/// Who waits.
#[derive(Default)]
pub(super) struct Joining(Mutex<BTreeMap<VmName, Arc<Semaphore>>>);

impl Joining {
    fn places(&self, vm: &VmName) -> Arc<Semaphore> {
        // Whole between statements.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(vm.clone()).or_insert_with(|| Arc::new(Semaphore::new(WAITING_AT_ONCE))))
    }

    /// Attaches, once the name is free.
    pub(super) async fn attach(
        &self,
        host: &Host,
        handle: &VmHandle,
        order: AttachRequest,
    ) -> Result<Granted, RequestError> {
        let deadline = Instant::now() + PATIENCE;
        let mut given_back = host.pools.places_given_back();
        let mut waiting = None;
        loop {
            given_back.mark_unchanged();
            let refused = match handle.attach(order.clone()).await {
                Err(RequestError::Join(refused)) if may_pass(&refused) => refused,
                answer => return answer,
            };
            if waiting.is_none() {
                waiting = self.places(handle.vm()).try_acquire_owned().ok();
                if waiting.is_none() {
                    return Err(refused.into());
                }
                look_at_holder(host, &refused, deadline).await;
            }
            if !matches!(timeout_at(deadline, given_back.changed()).await, Ok(Ok(()))) {
                return Err(refused.into());
            }
        }
    }
}

/// What follows from a look is given back by the VM's own task.
async fn look_at_holder(host: &Host, refused: &JoinError, deadline: Instant) {
    let JoinError::Taken { vm, .. } = refused else { return };
    let Some(Served { handle: holder, .. }) = host.vms.get(vm) else { return };
    match timeout_at(deadline, holder.reconcile()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!("look for a fraction: {error}"),
        Err(_) => tracing::debug!(%vm, "look for a fraction: no answer in time"),
    }
}

/// Whether somebody's leaving would end it. Sizes are not waited for: who gives another one has made a mistake.
fn may_pass(refused: &JoinError) -> bool {
    match refused {
        JoinError::Taken { .. } | JoinError::Full { .. } => true,
        JoinError::OtherSize { .. } => false,
    }
}
