//! Maps what the VM's task refuses to what the wire says. The only place that does.

use nestless_host::vm::RequestError;
use nestless_model::{
    address::ClaimError,
    attachment::{AttachRefusal as Refused, StepFailure},
    loopback::JoinError,
};
use nestless_proto::{Refusal, refusal::Reason};

/// The same refusal for the wire.
pub(super) fn refusal(error: &RequestError) -> Refusal {
    Refusal::new(reason(error), error.to_string())
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
            ClaimError::Restless { .. } => Reason::RateLimited,
            ClaimError::AddressInUse { .. } | ClaimError::Cooling { .. } => Reason::AddressInUse,
            ClaimError::MacInUse { .. } => Reason::MacInUse,
            ClaimError::Reserved { .. } | ClaimError::Outside { .. } | ClaimError::TwoOfOneSubnet { .. } => {
                Reason::Invalid
            }
        },
        RequestError::Join(refused) => match refused {
            JoinError::Full { .. } => Reason::GroupFull,
            JoinError::Taken { .. } => Reason::FractionTaken,
            JoinError::OtherTenant { .. } => Reason::OtherTenant,
            JoinError::OtherSize { .. } => Reason::OtherSize,
        },
        RequestError::Refused { refusal, .. } => match refusal {
            Refused::AlreadyAttached { .. } => Reason::AlreadyAttached,
            Refused::NoCapacity { .. } => Reason::NoCapacity,
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
