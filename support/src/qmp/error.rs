//! What can go wrong with a command, and with the connection.

use super::wire::MalformedLine;
use std::{io, path::PathBuf, sync::Arc, time::Duration};

/// A command that was not carried out, as far as is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QmpError {
    /// Nobody listens.
    #[error("connect to the QMP socket {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Connected, and no greeting came: QEMU serves one client at a time.
    #[error(
        "no QMP greeting from {path} within {waited:?}: does another client, such as libvirt, hold the socket?"
    )]
    NoGreeting {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// QEMU said no.
    #[error("QEMU refuses {command}: {desc} ({class})")]
    Refused {
        /// The command.
        command: &'static str,
        /// QEMU's error class.
        class: String,
        /// In QEMU's words.
        desc: String,
    },
    /// The result is not what the schema says.
    #[error("QEMU answered {command} in an unknown shape")]
    Answer {
        /// The command.
        command: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// No answer; the command may still be carried out.
    #[error("QEMU did not answer {command} within {waited:?}")]
    Timeout {
        /// The command.
        command: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// The connection ended before the answer; the command may have been carried out.
    #[error("the QMP connection {path} was lost before the answer to {command}")]
    Lost {
        /// The socket.
        path: PathBuf,
        /// The command.
        command: &'static str,
        /// What ended it: the other end, or a line that is no QMP.
        #[source]
        source: Option<Arc<LostReason>>,
    },
}

/// What ended a connection.
#[derive(Debug, thiserror::Error)]
pub enum LostReason {
    /// The socket failed, or its other end closed it (`UnexpectedEof`).
    #[error("the socket failed")]
    Socket(#[source] io::Error),
    /// QEMU sent what is no QMP.
    #[error("the other end does not speak QMP")]
    Malformed(#[source] MalformedLine),
}

impl QmpError {
    /// Whether QEMU said that the object of the command does not exist.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Refused { class, desc, .. } => {
                class == "DeviceNotFound"
                    || (desc.starts_with("File descriptor named") && desc.ends_with("not found"))
            }
            _ => false,
        }
    }

    /// Whether there is no connection any more, or never was.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::NoGreeting { .. } | Self::Lost { .. })
    }
}
