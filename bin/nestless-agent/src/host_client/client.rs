//! The connection to the host, wherever it stands.

use super::error::HostError;
use crate::config::Deadlines;
use nestless_proto::guest_client::GuestClient;
use nestless_support::telemetry::TraceParent;
use std::time::Duration;
use tokio::{sync::watch, time::timeout};
use tonic::{Request, transport::Channel};

/// One connection that has said Hello.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) client: GuestClient<Channel>,
    /// Counts connections, so that a call that broke can wait for a later one.
    pub(super) generation: u64,
}

/// The host, connected or not.
#[derive(Clone)]
pub(crate) struct HostClient {
    session: watch::Receiver<Option<Session>>,
    pub(super) deadlines: Deadlines,
}

/// The other end of [`HostClient`]: where the connecting task tells how the connection stands.
pub(crate) struct SessionSlot(pub(super) watch::Sender<Option<Session>>);

impl HostClient {
    pub(crate) fn new(deadlines: Deadlines) -> (Self, SessionSlot) {
        let (slot, session) = watch::channel(None);
        (Self { session, deadlines }, SessionSlot(slot))
    }

    /// Waits for a connection later than `generation`, however long it takes, and returns its own.
    pub(crate) async fn connected_after(&self, generation: u64) -> u64 {
        let mut sessions = self.session.clone();
        let later = |session: &Option<Session>| session.as_ref().is_some_and(|s| s.generation > generation);
        let found = sessions.wait_for(later).await.ok().and_then(|s| s.as_ref().map(|s| s.generation));
        match found {
            Some(generation) => generation,
            // The task that connects is gone, and so will this one be.
            None => std::future::pending().await,
        }
    }

    /// Whether there is no connection now.
    pub(crate) fn is_away(&self) -> bool {
        self.session.borrow().is_none()
    }

    /// Waits until the connection of that generation is no more.
    pub(crate) async fn broken(&self, generation: u64) {
        let mut sessions = self.session.clone();
        let other = |session: &Option<Session>| session.as_ref().is_none_or(|s| s.generation != generation);
        // An error says that the connecting task is gone, and its connection with it.
        let _ = sessions.wait_for(other).await;
    }

    /// A session later than `generation`, as soon as there is one.
    pub(super) async fn session_after(&self, generation: u64, wait: Duration) -> Result<Session, HostError> {
        let mut sessions = self.session.clone();
        let later = |session: &Option<Session>| session.as_ref().is_some_and(|s| s.generation > generation);
        let found = timeout(wait, sessions.wait_for(later)).await;
        match found {
            Ok(Ok(session)) => session.clone().ok_or(HostError::Away { waited: wait }),
            _ => Err(HostError::Away { waited: wait }),
        }
    }
}

/// The message with the caller's trace.
pub(super) fn traced<T>(trace: TraceParent, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = trace.to_string().parse().expect("hexadecimal digits and dashes are a metadata value");
    request.metadata_mut().insert(TraceParent::HEADER, value);
    request
}
