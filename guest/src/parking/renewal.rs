//! Makes a NIC anew: its driver lets go of it and takes it again. The link that comes has nothing of the one that goes.

use super::past::{Past, Pasts, Unbinding};
use nestless_model::identity::Mac;
use nestless_support::{bus_device::DriverError, error_chain::in_full, netlink::Link};
use std::{io, sync::Arc, thread, time::Duration};
use tokio::sync::{Semaphore, oneshot};

/// Emulated guests do it in a tenth of a second. One whose device does not answer may never.
const DEADLINE: Duration = Duration::from_secs(20);
/// Each waits most of the time for the kernel, and holds a lock that others need as well.
const AT_ONCE: usize = 4;

/// A NIC cannot be made anew.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewalError {
    /// Software made it.
    #[error("it has no device that a driver could take again")]
    NoDevice,
    /// The next agent must know of it.
    #[error("note what is done")]
    Note(#[source] io::Error),
    /// The kernel or the driver refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// No thread to do it on.
    #[error("start a thread")]
    Thread(#[source] io::Error),
    /// It is not known what became of it.
    #[error("its driver did not return within {DEADLINE:?}")]
    Timeout,
}

/// Makes NICs anew, a few at once.
#[derive(Clone)]
pub(super) struct Renewal {
    pasts: Arc<Pasts>,
    turns: Arc<Semaphore>,
}

impl Renewal {
    pub(super) fn new(pasts: Arc<Pasts>) -> Self {
        Self { pasts, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Begins, and goes on in a task: another link appears in the VM's own namespace. What fails is told as spent.
    pub(super) fn begin(&self, nic: Mac, link: &Link) {
        let spent = move |error: &RenewalError| {
            tracing::info!(%nic, error = in_full(error), "a NIC that somebody has had cannot be made anew; the host is to unplug it");
        };
        match self.prepare(nic, link) {
            Ok(unbinding) => {
                let renewal = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = renewal.finish(nic, unbinding).await {
                        spent(&error);
                        renewal.spend(nic);
                    }
                });
            }
            Err(error) => {
                spent(&error);
                self.spend(nic);
            }
        }
    }

    /// Wherever the link is. On success it is there no more, and another one appears in the VM's own namespace, or the NIC is
    /// told as spent.
    pub(super) async fn in_place(&self, nic: Mac, link: &Link) -> Result<(), RenewalError> {
        let unbinding = self.prepare(nic, link)?;
        let outcome = self.finish(nic, unbinding).await;
        if outcome.is_err() && self.pasts.get(nic) == Some(Past::Unbound) {
            self.spend(nic);
            return Ok(());
        }
        outcome
    }

    /// Goes on with what an earlier agent did not finish; what it had not begun is begun again when the NIC is seen.
    pub(super) fn resume(&self, nic: Mac, unbinding: Unbinding) {
        if !unbinding.device.is_unbound() {
            return self.pasts.note(nic, Past::Returned);
        }
        self.pasts.note(nic, Past::Unbound);
        let renewal = self.clone();
        tokio::spawn(async move {
            let Unbinding { device, driver } = unbinding;
            let bound = on_a_thread(move || Ok(device.bind(&device.driver(&driver))?)).await;
            if let Err(error) = bound {
                tracing::info!(%nic, error = in_full(&error), "a NIC that an earlier agent was making anew does not come back; the host is to unplug it");
                renewal.spend(nic);
            }
        });
    }

    fn prepare(&self, nic: Mac, link: &Link) -> Result<Unbinding, RenewalError> {
        let device = link.device.clone().ok_or(RenewalError::NoDevice)?;
        let driver = device.driver_now()?.name().to_owned();
        let unbinding = Unbinding { device, driver };
        self.pasts.set(nic, Past::Renewing(unbinding.clone())).map_err(RenewalError::Note)?;
        Ok(unbinding)
    }

    async fn finish(&self, nic: Mac, Unbinding { device, driver }: Unbinding) -> Result<(), RenewalError> {
        let _turn = self.turns.acquire().await;
        let pasts = Arc::clone(&self.pasts);
        on_a_thread(move || {
            let driver = device.driver(&driver);
            device.unbind(&driver)?;
            pasts.note(nic, Past::Unbound);
            Ok(device.bind(&driver)?)
        })
        .await
    }

    fn spend(&self, nic: Mac) {
        let has_link = self.pasts.get(nic) != Some(Past::Unbound);
        self.pasts.note(nic, if has_link { Past::Spent } else { Past::Lost });
    }
}

/// One of its own: a driver that hangs must not take a thread that others wait for.
async fn on_a_thread(
    work: impl FnOnce() -> Result<(), RenewalError> + Send + 'static,
) -> Result<(), RenewalError> {
    let (done, outcome) = oneshot::channel();
    let run = move || drop(done.send(work()));
    thread::Builder::new().name("renewal".into()).spawn(run).map_err(RenewalError::Thread)?;
    match tokio::time::timeout(DEADLINE, outcome).await {
        Ok(Ok(outcome)) => outcome,
        _ => Err(RenewalError::Timeout),
    }
}
