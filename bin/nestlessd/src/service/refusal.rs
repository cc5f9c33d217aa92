//! Why a caller is not served. What the VM's task refuses gets its reason here and nowhere else.

use nestless_host::vm::RequestError;
use nestless_model::{
    address::ClaimError,
    attachment::{AttachRefusal as Refused, StepFailure},
    identity::VmName,
    loopback::JoinError,
    refusal::{Kind, Reason},
};
use nestless_proto as proto;
use tonic::{Code, Status};

/// A reason, and in words what is refused, where, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<Refusal> for proto::Refusal {
    fn from(refusal: Refusal) -> Self {
        // What is found out in the VM has no number, and nothing here refuses for it.
        let wire = refusal.reason.wire().or_else(|| Reason::Internal.wire());
        Self { reason: wire.map_or(0, |wire| wire.number), message: refusal.message }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.reason.kind() {
            Kind::Invalid => Code::InvalidArgument,
            Kind::Exists => Code::AlreadyExists,
            Kind::Exhausted => Code::ResourceExhausted,
            Kind::Deadline => Code::DeadlineExceeded,
            Kind::Unavailable => Code::Unavailable,
            Kind::Denied => Code::PermissionDenied,
            Kind::NotFound => Code::NotFound,
            Kind::Internal => Code::Internal,
        };
        proto::Refusal::from(refusal).into_status(code)
    }
}

/// What the VM's task refuses, for the operator.
pub(super) fn refusal(error: &RequestError) -> Refusal {
    Refusal::new(reason(error), error.to_string())
}

/// The same for the guest of a VM. Other VMs may be other tenants', of whom it hears nothing; the log names them.
pub(super) fn for_guest(own: &VmName, error: &RequestError) -> Refusal {
    match error {
        RequestError::Claim(ClaimError::Reserved { network, address, vm }) if vm != own => Refusal::new(
            reason(error),
            format!(
                "network {network}: {address} is reserved for another VM; ask for another address, or for none"
            ),
        ),
        _ => refusal(error),
    }
}

fn reason(error: &RequestError) -> Reason {
    match error {
        RequestError::UnknownNetwork { .. } => Reason::UnknownNetwork,
        RequestError::NotFound { .. } => Reason::NotFound,
        RequestError::Observe { .. } => Reason::Hypervisor,
        RequestError::Busy { .. } => Reason::RateLimited,
        RequestError::Stopping { .. } => Reason::VmNotReady,
        RequestError::Claim(claim) => match claim {
            ClaimError::Exhausted { .. } => Reason::NoFreeAddress,
            // A while later it will be served.
            ClaimError::Restless { .. } | ClaimError::Cooling { .. } => Reason::RateLimited,
            ClaimError::AddressInUse { .. } | ClaimError::Reserved { .. } => Reason::AddressInUse,
            ClaimError::MacInUse { .. } | ClaimError::MacElsewhere { .. } => Reason::MacInUse,
            ClaimError::NotForPods { .. }
            | ClaimError::Outside { .. }
            | ClaimError::NoSubnet { .. }
            | ClaimError::UselessFamily { .. }
            | ClaimError::TwoOfOneSubnet { .. }
            | ClaimError::MacNotAllowed { .. } => Reason::Invalid,
        },
        RequestError::Join(refused) => match refused {
            JoinError::Full { .. } => Reason::GroupFull,
            JoinError::Taken { .. } => Reason::FractionTaken,
            JoinError::OtherSize { .. } => Reason::OtherSize,
        },
        RequestError::Refused { refusal, .. } => match refusal {
            Refused::AlreadyAttached { .. } => Reason::AlreadyAttached,
            Refused::NoCapacity { .. } | Refused::ReservedEnough { .. } => Reason::NoCapacity,
            Refused::NoneVisible => Reason::NicTimeout,
            Refused::AddressInUse { .. } => Reason::AddressInUse,
            Refused::Waiting { .. } => Reason::RateLimited,
            Refused::VmDown | Refused::Booting | Refused::Overtaken { .. } => Reason::VmNotReady,
            Refused::StepFailed { failure, .. } => match failure {
                StepFailure::NoSlot(_) => Reason::NoCapacity,
                StepFailure::VmDown(_) => Reason::VmNotReady,
                StepFailure::UnplugTimeout(_) => Reason::NicTimeout,
                StepFailure::Hypervisor(_) => Reason::Hypervisor,
                StepFailure::Fabric(_) => Reason::Fabric,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::refusal::Reason as Wire;

    /// More than the wire has; a number is not used again.
    const NUMBERS: std::ops::Range<i32> = 1..1000;

    #[test]
    fn the_wire_has_every_reason_of_the_host_and_no_other() {
        let names = |number| Wire::try_from(number).ok().map(|reason| reason.as_str_name());
        for number in NUMBERS {
            let of_model = Reason::from_wire(number).and_then(Reason::wire).map(|wire| wire.name);
            assert_eq!(of_model, names(number), "{number}");
        }
        let told = Reason::all().filter_map(Reason::wire);
        assert!(told.map(|wire| wire.number).all(|number| NUMBERS.contains(&number)));
    }

    #[test]
    fn a_status_carries_the_reason() {
        let status = Status::from(Refusal::new(Reason::GroupFull, "no"));
        assert_eq!(status.code(), Code::ResourceExhausted);
        let read = proto::Refusal::from_status(&status).unwrap();
        assert_eq!((Reason::from_wire(read.reason), read.message.as_str()), (Some(Reason::GroupFull), "no"));
    }
}
