//! Streams over a byte channel that has no connections (virtio-serial): bytes may be lost or stale whenever either end
//! restarts, and neither end is told.
//!
//! ```text
//! connecting end (guest)                          accepting end (host)
//!      <----------------------- knock ----------------- starts: sessions from before me are void
//!      ------ hello(S), repeated until welcomed ------>
//!      <-------------------- welcome(S) ---------------
//!      <--------------- data(S, 0, 1, 2...) ---------->
//!      <-- reset(S): the stream ended, or S is unknown, or a piece of it was lost -->
//! ```
//!
//! A new hello supersedes the session before it, whose stream then ends. Frames ([`frame`]) synchronise themselves, so
//! nothing that a dead peer left can harm the next session.

pub mod frame;
mod outbox;
mod session;
mod stream;
mod virtio_port;

pub use stream::SerialStream;
pub use virtio_port::{VirtioPort, VirtioPortError};

use outbox::Outbox;
use session::{Pump, Request};
use std::{
    io,
    pin::pin,
    sync::{Arc, OnceLock},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};
use tokio_util::task::AbortOnDropHandle;

/// One end of the channel. Dropping it ends its streams.
pub struct SerialLink {
    requests: mpsc::Sender<Request>,
    failure: Arc<OnceLock<io::Error>>,
    _task: AbortOnDropHandle<()>,
}

/// The channel itself is gone; a new one must be opened.
#[derive(Debug, thiserror::Error)]
#[error("the serial channel is closed: {kind}")]
pub struct LinkClosed {
    /// What the operating system said; `UnexpectedEof` when the other end closed it.
    pub kind: io::ErrorKind,
}

impl SerialLink {
    /// Takes the channel; nothing is read or written before the first [`connect`](Self::connect) or
    /// [`accept`](Self::accept), of which only one kind may be used on one link. Must be called inside a Tokio runtime.
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (requests, inbox) = mpsc::channel(1);
        let failure = Arc::new(OnceLock::new());
        let task = tokio::spawn(run(io, inbox, Arc::clone(&failure)));
        Self { requests, failure, _task: AbortOnDropHandle::new(task) }
    }

    /// Opens a session as the connecting end, and waits as long as it takes until the other end has welcomed it. An
    /// earlier session of this link must have been dropped or read to its end.
    ///
    /// # Errors
    /// When the channel is closed.
    pub async fn connect(&mut self) -> Result<SerialStream, LinkClosed> {
        self.ask(Request::Connect).await
    }

    /// Waits for the next session as the accepting end. A session that is superseded before it is accepted is skipped.
    /// An earlier stream must be dropped or read on, for it holds back what comes after it.
    ///
    /// # Errors
    /// When the channel is closed.
    pub async fn accept(&mut self) -> Result<SerialStream, LinkClosed> {
        self.ask(Request::Accept).await
    }

    async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<SerialStream>) -> Request,
    ) -> Result<SerialStream, LinkClosed> {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(request(reply)).await.is_ok()
            && let Ok(stream) = answer.await
        {
            return Ok(stream);
        }
        let kind = self.failure.get().map_or(io::ErrorKind::BrokenPipe, io::Error::kind);
        Err(LinkClosed { kind })
    }
}

async fn run(
    io: impl AsyncRead + AsyncWrite + Send + 'static,
    mut requests: mpsc::Receiver<Request>,
    failure: Arc<OnceLock<io::Error>>,
) {
    let Some(first) = requests.recv().await else { return };
    let (reader, writer) = tokio::io::split(io);
    let outbox = Arc::new(Outbox::default());
    // Pinned here, so that it and the requests it holds are dropped only after their callers can see why.
    let mut reading = pin!(Pump::new(requests, Arc::clone(&outbox)).read_from(reader, first));
    let error = tokio::select! {
        error = &mut reading => error,
        error = outbox.write_to(writer) => error,
    };
    let _ = failure.set(error);
}

#[cfg(test)]
mod tests;
