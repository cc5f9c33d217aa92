//! What a guest may ask of its NICs, and the answers.

use super::{
    purpose::Purpose,
    record::{Attachment, NicRecord},
    step::StepFailure,
};
use crate::{
    address::Family,
    identity::{AttachmentId, Mac, Mtu, NetworkName, NicId},
};
use std::net::IpAddr;

/// Whom to answer; chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// An attach with what it needs already taken from the pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachOrder {
    /// What to serve. Not confirmed yet.
    pub attachment: Attachment,
    /// On which network.
    pub network: NetworkName,
    /// That network's.
    pub mtu: Mtu,
    /// What for; given back to the pools if the attach is refused.
    pub purpose: Purpose,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To an attach.
    Granted(Box<Granted>),
    /// To a detach.
    Detached {
        /// False: there was nothing to detach.
        existed: bool,
    },
    /// To either.
    Refused(AttachRefusal),
}

/// A NIC for a pod or a fraction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its id.
    pub nic: NicId,
    /// What the guest finds it by.
    pub nic_mac: Mac,
    /// What the pod sends from.
    pub pod_mac: Mac,
    /// On which network.
    pub network: NetworkName,
    /// That network's.
    pub mtu: Mtu,
    /// What for, with its addresses or its place.
    pub purpose: Purpose,
    /// It was spare.
    pub warm: bool,
}

impl Granted {
    /// What a record grants.
    pub fn of(record: &NicRecord, warm: bool) -> Self {
        Self {
            nic: record.nic,
            nic_mac: record.mac,
            pod_mac: record.pod_mac(),
            network: record.network.clone(),
            mtu: record.served_mtu(),
            purpose: record.purpose.clone(),
            warm,
        }
    }
}

/// Why a request is not served.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the objects named in each message")]
pub enum AttachRefusal {
    /// The interface has a NIC.
    #[error("{attachment} is attached already: detach it first")]
    AlreadyAttached { attachment: AttachmentId },
    /// As many NICs as the operator, the hypervisor or the guest allows.
    #[error("all {limit} NICs of the VM are taken ({because}){}", if *evicting { "; a spare NIC of another network makes room: try again" } else { "" })]
    NoCapacity { limit: u32, because: &'static str, evicting: bool },
    /// None of those that were plugged became visible in the guest, as far as its agent says.
    #[error(
        "the guest's agent has reported none of the NICs that were plugged into the VM: look for errors in its log, and of virtio_net and PCI in the VM's `dmesg`"
    )]
    NoneVisible,
    /// The hypervisor is not there.
    #[error("the VM's hypervisor does not answer, or its guest has ended: is the VM running?")]
    VmDown,
    /// The guest has not introduced itself since it booted.
    #[error("the guest has not said hello since it booted: try again when its agent is connected")]
    Booting,
    /// A reserved address has one NIC at a time.
    #[error("the VM has reserved {address}, and a NIC of it has it: detach that one first")]
    AddressInUse { address: IpAddr },
    /// As many addresses as the VM may have NICs.
    #[error("the VM has reserved {limit} {family} addresses, as many as it may have NICs: release one first")]
    ReservedEnough { limit: u32, family: Family },
    /// Somebody detached it meanwhile.
    #[error("{attachment} was detached while it was being attached")]
    Overtaken { attachment: AttachmentId },
    /// The same request over and over.
    #[error("{attachment} is being attached, and enough repetitions wait for it: try again later")]
    Waiting { attachment: AttachmentId },
    /// A step failed; everything done so far is being undone.
    #[error("could not {step} for {attachment}: {failure}")]
    StepFailed { attachment: AttachmentId, step: String, failure: StepFailure },
}
