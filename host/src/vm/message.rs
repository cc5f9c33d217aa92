//! What may be asked of a VM's task.

use crate::hypervisor::Kind;
use nestless_model::{
    address::{ClaimError, ReservationWish},
    attachment::{AttachRefusal, Capacity, Granted, NicRecord, Phase, PodRef, Reservation, VmState, Wish},
    guard::RateLimit,
    identity::{AttachmentId, BootId, Mac, NetworkName, RequestId, VmName},
    loopback::JoinError,
};
use std::{collections::BTreeSet, net::IpAddr};
use tokio::sync::{mpsc, oneshot};

/// A pod wants an interface, or a fraction its endpoint.
#[derive(Clone, Debug)]
pub struct AttachRequest {
    /// The same one again gets the same answer.
    pub request: RequestId,
    /// Which interface.
    pub id: AttachmentId,
    /// `None`: the VM's default network, from whose NICs endpoints are taken as well.
    pub network: Option<NetworkName>,
    /// What for.
    pub wish: Wish,
    /// Limit on what the pod sends.
    pub egress: Option<RateLimit>,
    /// Limit on what the pod receives.
    pub ingress: Option<RateLimit>,
    /// In the guest's own words.
    pub sandbox: String,
    /// Who it is for.
    pub pod: PodRef,
}

/// A VM wants to keep an address.
#[derive(Clone, Debug)]
pub struct ReserveRequest {
    /// The same one again gets the same answer.
    pub request: RequestId,
    /// `None`: the VM's default network.
    pub network: Option<NetworkName>,
    /// Which address.
    pub wish: ReservationWish,
}

/// The NICs of a guest that are in no sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// As new.
    pub free: BTreeSet<Mac>,
    /// They were in sandboxes, and cannot be made anew.
    pub spent: BTreeSet<Mac>,
}

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are the objects named in each message")]
pub enum RequestError {
    /// No such network.
    #[error("there is no network {network:?} on this host; it has {known}")]
    UnknownNetwork { network: String, known: String },
    /// No addresses.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// No place in the loopback group.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The VM's NICs.
    #[error("VM {vm}: {refusal}")]
    Refused { vm: VmName, refusal: AttachRefusal },
    /// No NIC serves it.
    #[error("VM {vm}: no NIC serves {attachment}")]
    NotFound { vm: VmName, attachment: AttachmentId },
    /// Looking failed.
    #[error("VM {vm}: could not look at its NICs: {why}")]
    Observe { vm: VmName, why: String },
    /// Too much at once.
    #[error("VM {vm}: too many requests wait; try again")]
    Busy { vm: VmName },
    /// The daemon is going down.
    #[error("VM {vm}: the daemon is stopping; try again")]
    Stopping { vm: VmName },
}

/// One VM, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// How it is.
    pub state: VmState,
    /// Why it is down, as far as is known.
    pub trouble: Option<String>,
    /// Its guest's boot, if an agent ever said hello.
    pub boot: Option<BootId>,
    /// How many NICs there may be and are.
    pub capacity: Capacity,
    /// How many addresses the VM keeps.
    pub reserved: usize,
    /// Every NIC.
    pub nics: Vec<(NicRecord, Phase)>,
}

/// Requests of one guest that may wait. A guest that sends more is told to come again.
pub(super) const WAITING_REQUESTS: usize = 512;

pub(super) type Reply<T> = oneshot::Sender<Result<T, RequestError>>;

#[derive(Debug)]
pub(super) enum Message {
    Attach(Box<AttachRequest>, Reply<Granted>),
    Detach(AttachmentId, Reply<bool>),
    Reserve(ReserveRequest, Reply<Reservation>),
    Unreserve(Option<NetworkName>, IpAddr, Reply<bool>),
    Confirm(AttachmentId, String, Reply<()>),
    Hello(BootId, Reply<()>),
    Report(Reported, Reply<()>),
    Check(AttachmentId, Reply<Vec<String>>),
    Reconcile(Reply<Vec<String>>),
    Capacity(Reply<Capacity>),
    Snapshot(Reply<Snapshot>),
    Stop(Reply<()>),
}

/// Asks one VM's task.
#[derive(Clone, Debug)]
pub struct VmHandle {
    vm: VmName,
    hypervisor: &'static Kind,
    sender: mpsc::Sender<Message>,
}

impl VmHandle {
    pub(super) fn new(vm: VmName, hypervisor: &'static Kind, sender: mpsc::Sender<Message>) -> Self {
        Self { vm, hypervisor, sender }
    }

    /// Which VM.
    pub fn vm(&self) -> &VmName {
        &self.vm
    }

    /// What runs it.
    pub fn hypervisor(&self) -> &'static Kind {
        self.hypervisor
    }

    /// A NIC for a pod interface. Answered when the hypervisor has it and its guard lets the pod through.
    ///
    /// # Errors
    /// With the reason; nothing is left of it then.
    pub async fn attach(&self, request: AttachRequest) -> Result<Granted, RequestError> {
        self.ask(|reply| Message::Attach(Box::new(request), reply)).await
    }

    /// Ends a pod interface; false if there was none.
    ///
    /// # Errors
    /// When the daemon cannot take the request at all.
    pub async fn detach(&self, id: AttachmentId) -> Result<bool, RequestError> {
        self.ask(|reply| Message::Detach(id, reply)).await
    }

    /// An address for the VM to keep. Answered when that is durable.
    ///
    /// # Errors
    /// With the reason; nothing is left of it then.
    pub async fn reserve(&self, request: ReserveRequest) -> Result<Reservation, RequestError> {
        self.ask(|reply| Message::Reserve(request, reply)).await
    }

    /// The VM keeps an address of a network, its default one if none is named, no more; false if it did not.
    ///
    /// # Errors
    /// When the daemon cannot take the request at all.
    pub async fn unreserve(
        &self,
        network: Option<NetworkName>,
        address: IpAddr,
    ) -> Result<bool, RequestError> {
        self.ask(|reply| Message::Unreserve(network, address, reply)).await
    }

    /// The guest says that the NIC serves the pod, and where it found it.
    ///
    /// # Errors
    /// When no plugged NIC serves that interface.
    pub async fn confirm(&self, id: AttachmentId, pci_address: String) -> Result<(), RequestError> {
        self.ask(|reply| Message::Confirm(id, pci_address, reply)).await
    }

    /// The guest's agent introduces itself.
    ///
    /// # Errors
    /// When the daemon cannot take the request at all.
    pub async fn hello(&self, boot: BootId) -> Result<(), RequestError> {
        self.ask(|reply| Message::Hello(boot, reply)).await
    }

    /// The guest tells which of its NICs wait.
    ///
    /// # Errors
    /// When the daemon cannot take the request at all.
    pub async fn report(&self, reported: Reported) -> Result<(), RequestError> {
        self.ask(|reply| Message::Report(reported, reply)).await
    }

    /// Looks at the host's half of an attachment; a sentence per fault.
    ///
    /// # Errors
    /// When no NIC serves that interface, or looking failed.
    pub async fn check(&self, id: AttachmentId) -> Result<Vec<String>, RequestError> {
        self.ask(|reply| Message::Check(id, reply)).await
    }

    /// Looks at everything and starts what mends it; a sentence per difference.
    ///
    /// # Errors
    /// When looking failed.
    pub async fn reconcile(&self) -> Result<Vec<String>, RequestError> {
        self.ask(Message::Reconcile).await
    }

    /// How many NICs the VM may have and has now.
    ///
    /// # Errors
    /// When the daemon cannot take the request at all.
    pub async fn capacity(&self) -> Result<Capacity, RequestError> {
        self.ask(Message::Capacity).await
    }

    /// How the VM is now.
    ///
    /// # Errors
    /// When the daemon cannot take the request at all.
    pub async fn snapshot(&self) -> Result<Snapshot, RequestError> {
        self.ask(Message::Snapshot).await
    }

    /// Ends the task after the steps that are under way. NICs stay as they are.
    pub async fn stop(&self) {
        // A task that is gone already has stopped.
        let _ = self.ask(Message::Stop).await;
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(message(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::Busy { vm: self.vm.clone() },
            mpsc::error::TrySendError::Closed(_) => RequestError::Stopping { vm: self.vm.clone() },
        })?;
        answer.await.unwrap_or_else(|_| Err(RequestError::Stopping { vm: self.vm.clone() }))
    }
}
