//! A client of QEMU's machine protocol (QMP) on a unix socket: commands that run at the same time, events, deadlines, and
//! descriptors passed along.
//!
//! ```text
//! QmpClient::execute --> writer task --> socket --> reader task --> the caller, by the command's number
//!                                                              \-> every events() receiver
//! ```
//!
//! The first malformed line ends the connection: what follows it cannot be trusted to be in step.

mod connection;
mod wire;

/// Commands and their results, generated from QEMU's schema.
pub use qapi_qmp as schema;
/// What [`schema`]'s commands have in common.
pub use qapi_spec::Command;
pub use wire::{Event, MAX_LINE, MalformedLine, Message, parse_line};

use connection::{Connection, Order};
use serde_json::Value;
use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{broadcast, oneshot};

/// How long QEMU may take to answer. Its main loop answers within milliseconds, but for one that is swapped out.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// One connection. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub struct QmpClient {
    path: PathBuf,
    deadline: Duration,
    connection: Arc<Connection>,
}

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

impl QmpClient {
    /// Connects, reads the greeting and leaves negotiation mode. `deadline` holds for each command, and for this.
    ///
    /// # Errors
    /// When nobody listens, no greeting comes in time, or it is none.
    pub async fn connect(path: &Path, deadline: Duration) -> Result<Self, QmpError> {
        let socket = tokio::net::UnixStream::connect(path)
            .await
            .map_err(|source| QmpError::Connect { path: path.to_owned(), source })?;
        let (connection, greeting) = Connection::start(socket);
        let client = Self { path: path.to_owned(), deadline, connection: Arc::new(connection) };
        match tokio::time::timeout(deadline, greeting).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(client.lost("the greeting")),
            Err(_) => return Err(QmpError::NoGreeting { path: path.to_owned(), waited: deadline }),
        }
        client.execute(&schema::qmp_capabilities { enable: None }).await?;
        Ok(client)
    }

    /// Runs a command.
    ///
    /// # Errors
    /// When QEMU refuses, answers nonsense or nothing, or is gone.
    pub async fn execute<C: Command>(&self, command: &C) -> Result<C::Ok, QmpError> {
        self.run(command, None).await
    }

    /// Runs a command that takes a descriptor: `getfd`, `add-fd`. Not two of them at the same time: QEMU pairs the
    /// newest descriptor with the command it happens to run.
    ///
    /// # Errors
    /// As [`QmpClient::execute`].
    pub async fn execute_with_descriptor<C: Command>(
        &self,
        command: &C,
        descriptor: OwnedFd,
    ) -> Result<C::Ok, QmpError> {
        self.run(command, Some(descriptor)).await
    }

    /// Events from now on. A receiver that falls behind gets `Lagged` and must look for itself; one whose connection
    /// ends gets `Closed`.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.connection.events()
    }

    async fn run<C: Command>(&self, command: &C, descriptor: Option<OwnedFd>) -> Result<C::Ok, QmpError> {
        let (reply, answer) = oneshot::channel();
        let arguments =
            serde_json::to_value(command).expect("commands are structures of strings and numbers");
        let order = Order { command: C::NAME, arguments, descriptor, reply };
        let answer = async {
            self.connection.send(order).await.ok()?;
            answer.await.ok()
        };
        let answer = tokio::time::timeout(self.deadline, answer)
            .await
            .map_err(|_| QmpError::Timeout { command: C::NAME, waited: self.deadline })?
            .ok_or_else(|| self.lost(C::NAME))?;
        let value: Value = answer.map_err(|refusal| QmpError::Refused {
            command: C::NAME,
            class: refusal.class,
            desc: refusal.desc,
        })?;
        serde_json::from_value(value).map_err(|source| QmpError::Answer { command: C::NAME, source })
    }

    fn lost(&self, command: &'static str) -> QmpError {
        QmpError::Lost { path: self.path.clone(), command, source: self.connection.lost_reason() }
    }
}

#[cfg(test)]
mod tests;
