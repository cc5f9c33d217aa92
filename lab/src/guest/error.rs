//! What can go wrong between the lab and a VM's init.

use nestless_model::identity::VmName;
use std::{io, path::PathBuf};
use tonic::Status;

/// What kept a VM from doing as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// No channel to its init.
    #[error("reach {vm} on {path}: is it running? (`nestless lab ls`)")]
    Connect {
        /// The VM.
        vm: VmName,
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The channel is there, and nobody speaks on it.
    #[error("open a session with {vm}")]
    Session {
        /// The VM.
        vm: VmName,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// Its init refused or failed.
    #[error("{operation} in {vm}: {}", status.message())]
    Refused {
        /// The VM.
        vm: VmName,
        /// What was asked.
        operation: String,
        /// The answer.
        status: Box<Status>,
    },
}
