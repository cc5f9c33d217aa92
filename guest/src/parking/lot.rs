//! The parking namespace and what is asked of it.

use super::{
    mover::{self, MoveError},
    valet::{self, FreeNics, Lent},
};
use crate::identify;
use nestless_model::identity::Mac;
use nestless_support::{
    netlink::{Link, Netlink, NetlinkError},
    netns::{Namespace, NamespaceError},
};
use std::{path::Path, time::Duration};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The parking namespace, and the task that fills it. Dropping it ends the task; the NICs stay where they are.
pub struct Parking {
    namespace: Namespace,
    netlink: Netlink,
    /// The VM's own namespace, in which NICs appear.
    vm: Namespace,
    lent: Lent,
    free: watch::Receiver<FreeNics>,
    _valet: AbortOnDropHandle<()>,
}

impl Parking {
    /// Opens or makes the namespace at `path` and begins to park the NICs of the calling thread's namespace. Returns when
    /// all that were there already are parked.
    ///
    /// # Errors
    /// When the namespace cannot be made, or the kernel's links cannot be watched.
    pub async fn open(path: &Path) -> Result<Self, ParkingError> {
        Self::open_beside(path, []).await
    }

    /// [`Parking::open`], but for NICs that an earlier agent has lent: they stay where they are.
    ///
    /// # Errors
    /// As [`Parking::open`].
    pub async fn open_beside(path: &Path, lent: impl IntoIterator<Item = Mac>) -> Result<Self, ParkingError> {
        let namespace_failed = |source| ParkingError::Namespace { source };
        let namespace = Namespace::open_or_create(path).map_err(namespace_failed)?;
        let vm = Namespace::current().map_err(namespace_failed)?;
        let watch_failed = |source| ParkingError::Watch { source };
        let netlink = Netlink::inside(&namespace).await.map_err(watch_failed)?;
        let lent = Lent::from_iter(lent);
        let (free, valet) = valet::start(&namespace, &netlink, lent.clone()).await.map_err(watch_failed)?;
        Ok(Self { namespace, netlink, vm, lent, free, _valet: valet })
    }

    /// The set of NICs that wait, and its changes.
    pub fn free(&self) -> watch::Receiver<FreeNics> {
        self.free.clone()
    }

    /// Waits until `nic` is here.
    ///
    /// # Errors
    /// [`ParkingError::Absent`] when it does not come within `deadline`.
    pub async fn wait_for(&self, nic: Mac, deadline: Duration) -> Result<(), ParkingError> {
        let mut free = self.free();
        let came = tokio::time::timeout(deadline, free.wait_for(|free| free.contains(&nic))).await;
        match came {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ParkingError::Absent { nic, waited: deadline }),
        }
    }

    /// The namespace itself, in which no pod may be set up.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Whether the NIC is here by the kernel's word, which is ahead of [`Parking::free`]. One that cannot be looked for is
    /// not found.
    pub async fn holds(&self, nic: Mac) -> bool {
        matches!(self.find(nic).await, Ok(Some(_)))
    }

    pub(crate) fn netlink(&self) -> &Netlink {
        &self.netlink
    }

    /// The NIC as it waits here; `None` when it does not.
    pub(crate) async fn find(&self, nic: Mac) -> Result<Option<Link>, NetlinkError> {
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

    /// Takes a NIC back from the namespace that `from` talks to.
    pub(crate) async fn take_back(&self, from: &Netlink, link: &Link, nic: Mac) -> Result<(), MoveError> {
        mover::park(from, link, nic, &self.namespace).await
    }
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
    /// It did not come.
    #[error("the NIC with MAC address {nic} did not appear in this VM within {waited:?}")]
    Absent {
        /// Plug-time address.
        nic: Mac,
        /// How long was waited.
        waited: Duration,
    },
}
