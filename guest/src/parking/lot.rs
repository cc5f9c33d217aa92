//! The parking namespace and what is asked of it.

use super::{
    mover::{self, MoveError},
    past::{self, Past, Pasts},
    renewal::Renewal,
    valet::{self, Lent},
    waiting::Waiting,
};
use crate::identify;
use nestless_model::identity::Mac;
use nestless_support::{
    error_chain::in_full,
    netlink::{Link, Netlink, NetlinkError},
    netns::{Namespace, NamespaceError},
};
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The kernel tells at once who came; on a busy machine that takes a moment. Nothing depends on it but who waits for whom.
const NOTICE_DEADLINE: Duration = Duration::from_secs(1);

/// The parking namespace, and the task that fills it. Dropping it ends the task; the NICs stay where they are.
pub struct Parking {
    namespace: Namespace,
    netlink: Netlink,
    /// The VM's own namespace, in which NICs appear.
    vm: Namespace,
    lent: Lent,
    pasts: Arc<Pasts>,
    renewal: Renewal,
    waiting: watch::Receiver<Waiting>,
    _valet: AbortOnDropHandle<()>,
}

impl Parking {
    /// Opens or makes the namespace at `path` and begins to park the NICs of the calling thread's namespace. Returns when
    /// all that were there already are parked.
    ///
    /// # Errors
    /// When the namespace cannot be made, or the kernel's links cannot be watched.
    pub async fn open(path: &Path) -> Result<Self, ParkingError> {
        Self::open_beside(path, [], []).await
    }

    /// [`Parking::open`], given the NICs that an earlier agent has handed out, and those of them that it has lent, which
    /// stay where they are.
    ///
    /// # Errors
    /// As [`Parking::open`].
    pub async fn open_beside(
        path: &Path,
        handed_out: impl IntoIterator<Item = Mac>,
        lent: impl IntoIterator<Item = Mac>,
    ) -> Result<Self, ParkingError> {
        let namespace_failed = |source| ParkingError::Namespace { source };
        let namespace = Namespace::open_or_create(path).map_err(namespace_failed)?;
        let vm = Namespace::current().map_err(namespace_failed)?;
        let watch_failed = |source| ParkingError::Watch { source };
        let netlink = Netlink::inside(&namespace).await.map_err(watch_failed)?;
        let lent = Lent::from_iter(lent);
        let pasts = Pasts::load(past::directory(path)).map_err(|source| ParkingError::Pasts { source })?;
        let pasts = Arc::new(pasts);
        for nic in handed_out {
            // An agent that knew of no pasts may have done so.
            if pasts.get(nic).is_none() {
                pasts.note(nic, Past::Out);
            }
        }
        let renewal = Renewal::new(Arc::clone(&pasts));
        let (waiting, valet) =
            valet::start(&namespace, &netlink, lent.clone(), Arc::clone(&pasts), renewal.clone())
                .await
                .map_err(watch_failed)?;
        Ok(Self { namespace, netlink, vm, lent, pasts, renewal, waiting, _valet: valet })
    }

    /// The NICs that wait, and how that changes.
    pub fn waiting(&self) -> watch::Receiver<Waiting> {
        self.waiting.clone()
    }

    /// Waits until `nic` can be had.
    ///
    /// # Errors
    /// [`ParkingError::Absent`] when it does not come within `deadline`, [`ParkingError::Spent`] when it never will.
    pub async fn wait_for(&self, nic: Mac, deadline: Duration) -> Result<(), ParkingError> {
        let mut waiting = self.waiting();
        let is_decided = |now: &Waiting| now.free.contains(&nic) || now.spent.contains(&nic);
        let decided = tokio::time::timeout(deadline, waiting.wait_for(is_decided)).await;
        match decided {
            Ok(Ok(now)) if now.free.contains(&nic) => Ok(()),
            Ok(Ok(_)) => Err(ParkingError::Spent { nic }),
            _ => Err(ParkingError::Absent { nic, waited: deadline }),
        }
    }

    /// Waits until nobody has `nic`, be it as new or not, but no longer than `deadline`.
    pub async fn wait_for_return(&self, nic: Mac, deadline: Duration) {
        let mut waiting = self.waiting();
        let _ = tokio::time::timeout(deadline, waiting.wait_for(|now| now.holds(nic))).await;
    }

    /// Waits until no NIC is being made anew, but no longer than `deadline`.
    pub async fn wait_for_renewals(&self, deadline: Duration) {
        let mut waiting = self.waiting();
        let _ = tokio::time::timeout(deadline, waiting.wait_for(|now| now.renewing.is_empty())).await;
    }

    /// The namespace itself, in which no pod may be set up.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Whether nobody has the NIC, by the kernel's word, which is ahead of [`Parking::waiting`]. One that cannot be looked
    /// for is not found.
    pub async fn holds(&self, nic: Mac) -> bool {
        matches!(self.pasts.get(nic), Some(Past::Renewing(_) | Past::Unbound | Past::Lost))
            || matches!(self.find(nic).await, Ok(Some(_)))
    }

    pub(crate) fn netlink(&self) -> &Netlink {
        &self.netlink
    }

    /// Takes a NIC that can be had; `None` when it does not wait here as new. Whoever takes it moves it away, or says that
    /// it is [back](Self::give_back).
    pub(crate) async fn take(&self, nic: Mac) -> Result<Option<Link>, TakeError> {
        let waiting = self.find(nic).await.map_err(|source| TakeError::Look { source })?;
        let is_taken =
            waiting.is_some() && self.pasts.take(nic).map_err(|source| TakeError::Note { source })?;
        Ok(waiting.filter(|_| is_taken))
    }

    /// Somebody has had the NIC, and has it no more, or never got it. Here, it is made anew.
    pub(crate) fn give_back(&self, nic: Mac) {
        self.pasts.note(nic, Past::Returned);
    }

    /// The NIC as it waits here; `None` when it does not.
    async fn find(&self, nic: Mac) -> Result<Option<Link>, NetlinkError> {
        Ok(identify::find(self.netlink.links().await?, nic))
    }

    pub(crate) fn vm(&self) -> &Namespace {
        &self.vm
    }

    /// Leaves the NIC alone when it is seen in the VM's own namespace, from now on.
    pub(crate) fn begin_lending(&self, nic: Mac) {
        self.lent.insert(nic);
    }

    /// Parks the NIC wherever in the VM's own namespace it turns up, from now on.
    pub(crate) fn end_lending(&self, nic: Mac) {
        self.lent.remove(nic);
    }

    /// Takes a NIC back from the namespace that `from` talks to. Here it is made anew, which nobody waits for.
    pub(crate) async fn take_back(&self, from: &Netlink, link: &Link, nic: Mac) -> Result<(), MoveError> {
        self.give_back(nic);
        let Err(refused) = mover::park(from, link, nic, &self.namespace).await else {
            // Whoever asks next is to be told of it.
            self.wait_for_return(nic, NOTICE_DEADLINE).await;
            return Ok(());
        };
        if refused.source.is_missing() {
            return Err(refused);
        }
        // Whatever the pod has done that the kernel does not move it with: without a driver there is nothing to move.
        self.renewal.in_place(nic, link).await.map_err(|error| {
            tracing::debug!(%nic, error = in_full(&error), "a NIC that cannot be moved cannot be made anew in its place either");
            self.give_back(nic);
            refused
        })
    }
}

/// A NIC cannot be taken from here. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The links cannot be seen.
    #[error("look for the NIC")]
    Look {
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// It would be taken for new by the next agent.
    #[error("note that somebody has the NIC")]
    Note {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Parking failed.
#[derive(Debug, thiserror::Error)]
pub enum ParkingError {
    /// There is nothing to park in.
    #[error("open the parking namespace")]
    Namespace {
        /// Why.
        #[source]
        source: NamespaceError,
    },
    /// The links cannot be seen.
    #[error("watch the VM's links")]
    Watch {
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// What earlier agents knew of the NICs cannot be read.
    #[error("read what is known of the NICs' pasts")]
    Pasts {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is here, but not to be had.
    #[error(
        "somebody has had the NIC with MAC address {nic}, and it cannot be made anew: the host is to give another one"
    )]
    Spent {
        /// Plug-time address.
        nic: Mac,
    },
    /// It did not come.
    #[error("the NIC with MAC address {nic} did not appear in this VM within {waited:?}")]
    Absent {
        /// Plug-time address.
        nic: Mac,
        /// How long was waited.
        waited: Duration,
    },
}
