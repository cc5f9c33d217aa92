//! What the core could not do, as CNI tells it: the reason's code, the error with its causes, the reason's advice.

use crate::core::{AttachError, CheckError, IncompleteError, NotReady, ReleaseError};
use nestless_model::{cni::CniError, refusal::Reason};
use nestless_support::error_chain::in_full;
use std::error::Error as _;

impl From<AttachError> for CniError {
    fn from(error: AttachError) -> Self {
        match (&error, error.source()) {
            // Its cause is another program's words, which the details begin with.
            (AttachError::Ports(_), Some(words)) => {
                Self::new(error.reason(), error.to_string()).because(in_full(words))
            }
            _ => Self::new(error.reason(), in_full(&error)),
        }
    }
}

impl From<ReleaseError> for CniError {
    fn from(error: ReleaseError) -> Self {
        Self::new(error.reason(), in_full(&error))
    }
}

impl From<IncompleteError> for CniError {
    fn from(error: IncompleteError) -> Self {
        Self::new(Reason::GcIncomplete, error.to_string())
    }
}

impl From<CheckError> for CniError {
    fn from(error: CheckError) -> Self {
        Self::new(error.reason(), in_full(&error))
    }
}

/// Only STATUS asks. Running pods need neither agent nor host, so that code 51 is never right.
impl From<NotReady> for CniError {
    fn from(error: NotReady) -> Self {
        Self::new(Reason::NotAvailable, in_full(&error))
    }
}
