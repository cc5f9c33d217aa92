//! The host, as the rest of the agent sees it: there or away, and asked by typed calls.

mod calls;
mod offer;
mod refusal;
mod session;

pub(crate) use calls::{AttachWish, HostError, patiently};
pub(crate) use offer::{Listed, Offer};
pub(crate) use session::run;

use crate::config::Deadlines;
use nestless_proto::guest_client::GuestClient;
use std::time::Duration;
use tokio::{sync::watch, time::timeout};
use tonic::transport::Channel;

/// One connection that has said Hello.
#[derive(Clone)]
pub(crate) struct Session {
    client: GuestClient<Channel>,
    /// Counts connections, so that a call that broke can wait for a later one.
    generation: u64,
}

/// The host, wherever the connection to it stands.
#[derive(Clone)]
pub(crate) struct Host {
    session: watch::Receiver<Option<Session>>,
    deadlines: Deadlines,
}

/// The other end of [`Host`]: where [`run`] tells how the connection stands.
pub(crate) type SessionSlot = watch::Sender<Option<Session>>;

impl Host {
    pub(crate) fn new(deadlines: Deadlines) -> (Self, SessionSlot) {
        let (slot, session) = watch::channel(None);
        (Self { session, deadlines }, slot)
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
    async fn session_after(&self, generation: u64, wait: Duration) -> Result<Session, HostError> {
        let mut sessions = self.session.clone();
        let later = |session: &Option<Session>| session.as_ref().is_some_and(|s| s.generation > generation);
        let found = timeout(wait, sessions.wait_for(later)).await;
        match found {
            Ok(Ok(session)) => session.clone().ok_or(HostError::Away { waited: wait }),
            _ => Err(HostError::Away { waited: wait }),
        }
    }
}
