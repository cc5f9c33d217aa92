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
mod error;
mod wire;

pub use error::{LostReason, QmpError};
/// Commands and their results, generated from QEMU's schema.
pub use qapi_qmp as schema;
/// What [`schema`]'s commands have in common.
pub use qapi_spec::Command;
pub use wire::{Event, MAX_LINE, MalformedLine, Message, parse_line};

use connection::{Connection, Order};
use serde_json::Value;
use std::{
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
        let value: Value = answer.map_err(|error| QmpError::Refused {
            command: C::NAME,
            class: error.class,
            desc: error.desc,
        })?;
        serde_json::from_value(value).map_err(|source| QmpError::Answer { command: C::NAME, source })
    }

    fn lost(&self, command: &'static str) -> QmpError {
        QmpError::Lost { path: self.path.clone(), command, source: self.connection.lost_reason() }
    }
}

#[cfg(test)]
mod tests;
