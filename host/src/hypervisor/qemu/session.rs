//! Keeps a connection to QEMU's QMP socket, and turns its events into ours.
//!
//! ```text
//! absent --socket appears, greeting--> connected (Up) --connection lost--> absent (Down)
//! ```

use super::machine::Machine;
use crate::hypervisor::{
    HypervisorError, HypervisorEvent, directory_watch::DirectoryWatch, unreachable::unreachable,
};
use nestless_model::identity::NicId;
use nestless_support::{
    error_chain::in_full,
    qmp::{self, Event, QmpClient, QmpError},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{broadcast::error::RecvError, mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

/// Pauses between attempts that no change in the socket's directory cuts short: QEMU binds its socket a moment before it
/// listens, a socket file may be left of a dead QEMU, and another client may hold the connection.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_CAP: Duration = Duration::from_secs(5);

#[derive(Clone)]
enum Connection {
    /// The first attempt is still under way: nobody knows whether QEMU runs.
    Untried,
    /// With the reason.
    Absent(String),
    Live(Arc<Machine>),
}

pub(super) struct Session {
    path: PathBuf,
    connection: watch::Receiver<Connection>,
    _task: AbortOnDropHandle<()>,
}

impl Session {
    pub(super) fn keep(path: PathBuf, events: mpsc::Sender<HypervisorEvent>) -> Self {
        let (current, connection) = watch::channel(Connection::Untried);
        let task = tokio::spawn(run(path.clone(), current, events));
        Self { path, connection, _task: AbortOnDropHandle::new(task) }
    }

    /// The QEMU at the other end of the live connection.
    pub(super) fn machine(&self) -> Result<Arc<Machine>, HypervisorError> {
        match &*self.connection.borrow() {
            Connection::Live(machine) => Ok(Arc::clone(machine)),
            Connection::Untried | Connection::Absent(_) => Err(self.down()),
        }
    }

    /// Waits for the first attempt, so that a QEMU that runs is not taken for one that does not.
    pub(super) async fn tried(&self) {
        // An error means that the task is gone, and with it every hope of a connection.
        let _ =
            self.connection.clone().wait_for(|connection| !matches!(connection, Connection::Untried)).await;
    }

    pub(super) fn down(&self) -> HypervisorError {
        HypervisorError::Down { endpoint: self.endpoint() }
    }

    /// Why there is no connection.
    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.connection.borrow() {
            Connection::Live(_) => None,
            Connection::Untried => Some(format!("{} has not been tried yet", self.endpoint())),
            Connection::Absent(why) => Some(why.clone()),
        }
    }

    pub(super) fn endpoint(&self) -> String {
        self.path.display().to_string()
    }
}

/// Ends with the session; without a receiver of events the connection is still kept.
async fn run(path: PathBuf, current: watch::Sender<Connection>, events: mpsc::Sender<HypervisorEvent>) {
    loop {
        let client = connect(&path, &current).await;
        let mut received = client.events();
        current.send_replace(Connection::Live(Arc::new(Machine::new(client))));
        tracing::info!(socket = %path.display(), "QEMU answers");
        let _ = events.send(HypervisorEvent::Up).await;
        loop {
            let event = match received.recv().await {
                Ok(event) => translate(&event),
                // Some were lost: whoever acts on events must look again.
                Err(RecvError::Lagged(_)) => Some(HypervisorEvent::Up),
                Err(RecvError::Closed) => break,
            };
            if let Some(event) = event {
                let _ = events.send(event).await;
            }
        }
        current.send_replace(Connection::Absent(format!("QEMU closed {}", path.display())));
        tracing::info!(socket = %path.display(), "QEMU is gone");
        let _ = events.send(HypervisorEvent::Down).await;
    }
}

async fn connect(path: &Path, current: &watch::Sender<Connection>) -> QmpClient {
    let mut pause = RETRY_FIRST;
    loop {
        // Watched before the attempt, or a socket that appears in between would be missed. The directory may not exist.
        let watch = DirectoryWatch::around(path).ok();
        let why = match QmpClient::connect(path, qmp::DEADLINE).await {
            Ok(client) => return client,
            Err(error) => {
                if !matches!(error, QmpError::Connect { .. }) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "QEMU cannot be spoken to");
                }
                why(&error)
            }
        };
        tracing::debug!(why, "no QEMU yet");
        current.send_replace(Connection::Absent(why));
        let changed = async {
            match &watch {
                Some(watch) => watch.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        match tokio::time::timeout(pause, changed).await {
            Ok(_) => pause = RETRY_FIRST,
            Err(_) => pause = (pause * 2).min(RETRY_CAP),
        }
    }
}

fn why(error: &QmpError) -> String {
    match error {
        QmpError::Connect { path, source } => unreachable("QEMU's monitor", path, source),
        other => in_full(other),
    }
}

fn translate(event: &Event) -> Option<HypervisorEvent> {
    match event.name.as_str() {
        "RESET" => Some(HypervisorEvent::Reset),
        "DEVICE_DELETED" => device(event).map(HypervisorEvent::NicGone),
        // SHUTDOWN is none: QEMU ends the connection when it exits, and with -no-shutdown it keeps the NICs.
        _ => None,
    }
}

/// The NIC that an event is about, if it is ours.
pub(super) fn device(event: &Event) -> Option<NicId> {
    NicId::from_device_name(event.data.get("device")?.as_str()?)
}
