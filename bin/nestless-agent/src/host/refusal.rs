//! The host's failures as CNI tells them.

use super::HostError;
use nestless_model::cni::CniError;

impl From<HostError> for CniError {
    fn from(error: HostError) -> Self {
        let message = match &error {
            HostError::Failed(status) => format!("{error}: {}", status.message()),
            _ => error.to_string(),
        };
        Self::new(error.reason(), message)
    }
}
