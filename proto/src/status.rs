//! A refusal travels as a gRPC status whose details hold the typed reason.

use crate::{Refusal, refusal::Reason};
use prost::Message as _;
use tonic::{Code, Status};

impl Refusal {
    /// A refusal for `reason`; `message` says what, where, and what to do next.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }

    /// Reads the typed refusal back from a status; `None` if the peer did not send one.
    pub fn from_status(status: &Status) -> Option<Self> {
        (!status.details().is_empty()).then(|| Self::decode(status.details()).ok()).flatten()
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let code = match refusal.reason() {
            Reason::Invalid | Reason::UnknownNetwork | Reason::OtherSize => Code::InvalidArgument,
            Reason::AlreadyAttached | Reason::FractionTaken | Reason::AddressInUse | Reason::MacInUse => {
                Code::AlreadyExists
            }
            Reason::NoFreeAddress | Reason::NoCapacity | Reason::GroupFull | Reason::RateLimited => {
                Code::ResourceExhausted
            }
            Reason::NicTimeout => Code::DeadlineExceeded,
            Reason::VmNotReady => Code::Unavailable,
            Reason::OtherTenant => Code::PermissionDenied,
            Reason::NotFound => Code::NotFound,
            Reason::Hypervisor | Reason::Fabric | Reason::Internal | Reason::Unspecified => Code::Internal,
        };
        Status::with_details(code, refusal.message.clone(), refusal.encode_to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_wire() {
        let refusal = Refusal::new(Reason::NoCapacity, "VM a has no free hot-plug port");
        let status = Status::from(refusal.clone());
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(Refusal::from_status(&status), Some(refusal));
        assert_eq!(Refusal::from_status(&Status::unavailable("gone")), None);
    }
}
