//! One VM's NICs, and what every input to them is made of: what it may draw on, and what follows from it.

use super::{
    change::Change,
    nic::Nic,
    record::{NicRecord, Reservation},
    request::{Answer, AttachRefusal, Ticket},
    step::StepOrder,
    world::VmState,
};
use crate::identity::{AttachmentId, BootId, Mac, Mtu, NetworkName, NicId, VmName};
use std::{collections::BTreeMap, net::IpAddr};

/// What the operator fixed for a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// NICs at most, spare ones included.
    pub nic_limit: u32,
    /// Spare NICs to keep plugged.
    pub warm_pool: u32,
    /// Spare NICs to keep when pods give them back; at least `warm_pool`.
    pub warm_pool_max: u32,
    /// The network of the spare NICs.
    pub default_network: NetworkName,
    /// That network's.
    pub mtu: Mtu,
}

/// What the ledger has of a VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Its guest's last boot.
    pub boot: Option<BootId>,
    /// Its NICs.
    pub nics: Vec<NicRecord>,
    /// Addresses that it keeps.
    pub reservations: Vec<Reservation>,
}

/// What a decision may draw on besides its input.
pub struct Context<'a> {
    /// Milliseconds of a clock that never goes back.
    pub now_ms: u64,
    /// A NIC id never used before, and its address.
    pub fresh_nic: &'a mut dyn FnMut() -> (NicId, Mac),
}

/// What follows from an input. Changes come first and must be durable before the rest happens.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// For the ledger, all or none.
    pub changes: Vec<Change>,
    /// To carry out, in any order and at the same time.
    pub steps: Vec<StepOrder>,
    /// To answer.
    pub answers: Vec<(Ticket, Answer)>,
}

/// How many NICs become visible in a guest: found out, and believed for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct GuestLimit {
    pub(super) nics: u32,
    /// It shows none at all, or its agent does not say what it shows: then it is not for want of interrupt vectors.
    pub(super) none_visible: bool,
    pub(super) until_ms: u64,
}

/// All NICs of one VM.
#[derive(Debug)]
pub struct VmNics {
    pub(super) vm: VmName,
    pub(super) limits: Limits,
    pub(super) state: VmState,
    pub(super) boot: Option<BootId>,
    pub(super) nics: BTreeMap<NicId, Nic>,
    pub(super) reservations: BTreeMap<(NetworkName, IpAddr), Reservation>,
    /// Hot-plug slots, as the hypervisor counts them.
    pub(super) slots: Option<u32>,
    /// Of this boot of the guest, once that was found out.
    pub(super) guest_limit: Option<GuestLimit>,
    pub(super) hold_until_ms: u64,
    /// Nobody has spoken for the guest since the daemon started or the guest was reset: it may be booting, and then it
    /// neither makes a NIC visible nor lets go of one.
    pub(super) unheard: bool,
    pub(super) erased: BTreeMap<NicId, u64>,
    pub(super) attaching: BTreeMap<NicId, Vec<(Ticket, bool)>>,
    pub(super) detaching: BTreeMap<NicId, Vec<Ticket>>,
    pub(super) generation: u64,
}

impl VmNics {
    /// From the ledger; nothing is done before the first [`VmNics::observed`].
    pub fn new(vm: VmName, limits: Limits, remembered: Remembered) -> Self {
        let Remembered { boot, nics, reservations } = remembered;
        let reservations =
            reservations.into_iter().map(|kept| ((kept.network.clone(), kept.address.addr()), kept));
        Self {
            vm,
            limits,
            // Whoever was served before the daemon restarted is not told to wait for a hello.
            state: VmState::Running,
            boot,
            nics: nics.into_iter().map(|record| (record.nic, Nic::unobserved(record))).collect(),
            reservations: reservations.collect(),
            slots: None,
            guest_limit: None,
            hold_until_ms: 0,
            unheard: true,
            erased: BTreeMap::new(),
            attaching: BTreeMap::new(),
            detaching: BTreeMap::new(),
            generation: 0,
        }
    }

    /// All NICs, for status.
    pub fn nics(&self) -> impl Iterator<Item = &Nic> {
        self.nics.values()
    }

    /// One NIC.
    pub fn nic(&self, id: NicId) -> Option<&Nic> {
        self.nics.get(&id)
    }

    /// How the VM was when last looked at.
    pub fn state(&self) -> VmState {
        self.state
    }

    /// How many addresses the VM keeps.
    pub fn reserved(&self) -> usize {
        self.reservations.len()
    }

    /// Whether anything can be had for the guest now.
    pub(super) fn is_ready(&self) -> Result<(), AttachRefusal> {
        if matches!(self.state, VmState::Down | VmState::Ended) {
            return Err(AttachRefusal::VmDown);
        }
        if self.boot.is_none() {
            return Err(AttachRefusal::Booting);
        }
        Ok(())
    }

    /// The NIC that serves an interface.
    pub fn serving(&self, id: &AttachmentId) -> Option<&Nic> {
        self.nics.values().find(|nic| nic.record.attachment().is_some_and(|a| a.id == *id))
    }

    /// The network of a pod that names none.
    pub fn default_network(&self) -> &NetworkName {
        &self.limits.default_network
    }

    /// Counts what was done; an observation names the count at which it began.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}
