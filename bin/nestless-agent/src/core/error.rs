//! Why something was not done, each with the reason that a front tells.

use crate::host_client::HostError;
use nestless_guest::{
    lent_nic::LentNicError, loopback_endpoint::LoopbackEndpointError, parking::ParkingError,
    pod_nic::PodNicError, port_mapping::PortMappingError,
};
use nestless_model::{identity::AttachmentId, port_mapping::PortClash, refusal::Reason};
use std::{error, io};
use tokio::task::JoinError;

/// A record cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("keep the record of {attachment} in the run directory")]
pub(crate) struct KeepError {
    pub(super) attachment: AttachmentId,
    pub(super) source: io::Error,
}

/// Ports of the VM cannot be led to a pod, or no longer be led there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortsError {
    #[error(transparent)]
    Refused(#[from] PortMappingError),
    /// The agent stops.
    #[error(transparent)]
    Ended(#[from] JoinError),
}

/// Nothing was attached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    #[error("{attachment} has a NIC already, {nic}")]
    AlreadyAttached { attachment: AttachmentId, nic: String },
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Parking(#[from] ParkingError),
    #[error(transparent)]
    PodNic(#[from] PodNicError),
    #[error(transparent)]
    Endpoint(#[from] LoopbackEndpointError),
    #[error(transparent)]
    Lent(#[from] LentNicError),
    #[error(transparent)]
    PortClash(#[from] PortClash),
    #[error(transparent)]
    Ports(#[from] PortsError),
}

impl AttachError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::AlreadyAttached { .. } => Reason::AlreadyAttached,
            Self::Keep(_) => Reason::Io,
            Self::Host(error) => error.reason(),
            Self::PodNic(PodNicError::InterfaceExists { .. })
            | Self::Endpoint(LoopbackEndpointError::Exists)
            | Self::Lent(LentNicError::NameTaken { .. }) => Reason::InterfaceExists,
            Self::Parking(ParkingError::Absent { .. } | ParkingError::Spent { .. })
            | Self::PodNic(PodNicError::Absent { .. })
            | Self::Endpoint(LoopbackEndpointError::Absent { .. })
            | Self::Lent(LentNicError::Absent { .. }) => Reason::NicTimeout,
            Self::Parking(_) | Self::PodNic(_) | Self::Endpoint(_) | Self::Lent(_) => Reason::SandboxSetup,
            Self::PortClash(PortClash::Twice { .. }) => Reason::Invalid,
            Self::PortClash(PortClash::Taken { .. }) => Reason::PortTaken,
            Self::Ports(_) => Reason::PortMapping,
        }
    }
}

/// Something is left of an attachment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// Its NIC.
    #[error("{attachment}")]
    Nic { attachment: AttachmentId, source: Box<dyn error::Error + Send + Sync> },
    #[error(transparent)]
    Ports(#[from] PortsError),
}

impl ReleaseError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Keep(_) => Reason::Io,
            Self::Nic { .. } | Self::Ports(_) => Reason::TeardownIncomplete,
        }
    }
}

/// Of several attachments some could not be released.
#[derive(Debug, thiserror::Error)]
#[error("{}", failures.join("; "))]
pub(crate) struct IncompleteError {
    pub(super) failures: Vec<String>,
}

/// An attachment is not as it should be, or this is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("{attachment} is not attached by this agent")]
    NotAttached { attachment: AttachmentId },
    #[error("{attachment}: {}", faults.join("; "))]
    Differs { attachment: AttachmentId, faults: Vec<String> },
    #[error(transparent)]
    Host(#[from] HostError),
}

impl CheckError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::NotAttached { .. } => Reason::NotFound,
            Self::Differs { .. } => Reason::CheckFailed,
            Self::Host(error) => error.reason(),
        }
    }
}

/// Nothing could be attached now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("{message} ({in_use} of {limit} NICs in use, {spare} spare, {free_addresses} addresses free)")]
    Exhausted { message: String, in_use: u32, limit: u32, spare: u32, free_addresses: u64 },
}
