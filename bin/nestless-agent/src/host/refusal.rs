//! The one place where the host's reasons become CNI codes.

use super::HostError;
use nestless_model::cni::{CniError, ErrorCode};
use nestless_proto::refusal::Reason;

impl From<HostError> for CniError {
    fn from(error: HostError) -> Self {
        let code = match &error {
            HostError::Away { .. } | HostError::Timeout { .. } => ErrorCode::TryAgainLater,
            HostError::Refused(refusal) => code(refusal.reason()),
            HostError::Failed(_) | HostError::Nonsense { .. } => ErrorCode::HostFailure,
        };
        let message = match &error {
            HostError::Failed(status) => format!("{error}: {}", status.message()),
            _ => error.to_string(),
        };
        Self::new(code, message)
    }
}

fn code(reason: Reason) -> ErrorCode {
    match reason {
        Reason::Invalid => ErrorCode::InvalidConfig,
        Reason::UnknownNetwork => ErrorCode::UnknownNetwork,
        Reason::AlreadyAttached => ErrorCode::AlreadyAttached,
        Reason::NoFreeAddress => ErrorCode::NoFreeAddress,
        Reason::AddressInUse => ErrorCode::AddressInUse,
        Reason::MacInUse => ErrorCode::MacInUse,
        Reason::NoCapacity => ErrorCode::NoCapacity,
        Reason::NicTimeout => ErrorCode::NicTimeout,
        Reason::VmNotReady | Reason::RateLimited => ErrorCode::TryAgainLater,
        Reason::GroupFull => ErrorCode::GroupFull,
        Reason::FractionTaken => ErrorCode::FractionTaken,
        Reason::OtherTenant => ErrorCode::OtherTenant,
        Reason::OtherSize => ErrorCode::OtherSize,
        Reason::NotFound => ErrorCode::UnknownContainer,
        Reason::Hypervisor | Reason::Fabric | Reason::Internal | Reason::Unspecified => {
            ErrorCode::HostFailure
        }
    }
}
