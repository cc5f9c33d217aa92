//! Why the host did not serve a call.

use nestless_model::refusal::Reason;
use nestless_proto::Refusal;
use std::time::Duration;
use tonic::Status;

/// Why the host did not serve a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// No connection. The call was not made, or it is not known whether it arrived.
    #[error("the host is not connected (waited {waited:?})")]
    Away { waited: Duration },
    /// It may or may not have been carried out.
    #[error("the host did not answer within {waited:?}")]
    Timeout { waited: Duration },
    /// The host says no, and why. Nothing was changed.
    #[error("{message}")]
    Refused { reason: Reason, message: String },
    /// A failure without a reason, in the host's words.
    #[error("the host failed: {words}")]
    Failed { words: String },
    /// An answer with a field that no host should send.
    #[error("the host answered nonsense: {what}")]
    Nonsense { what: String },
}

impl HostError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Away { .. } | Self::Timeout { .. } => Reason::Away,
            Self::Refused { reason, .. } => *reason,
            Self::Failed { .. } | Self::Nonsense { .. } => Reason::Internal,
        }
    }

    /// Nothing is wrong with the call: the host has too much to do for this VM just now.
    pub(super) fn is_put_off(&self) -> bool {
        matches!(self, Self::Refused { reason: Reason::RateLimited, .. })
    }
}

impl From<Refusal> for HostError {
    fn from(Refusal { reason, message }: Refusal) -> Self {
        // A later host may have reasons that are not known here.
        Self::Refused { reason: Reason::from_wire(reason).unwrap_or(Reason::Internal), message }
    }
}

impl From<Status> for HostError {
    fn from(status: Status) -> Self {
        match Refusal::from_status(&status) {
            Some(refusal) => refusal.into(),
            None => Self::Failed { words: status.message().to_owned() },
        }
    }
}
