//! An open channel, as a stream of bytes that knows its VM.

use crate::daemon::Host;
use nestless_model::identity::VmName;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// HTTP/2's preface and the head of the settings that follow it (RFC 9113, 3.4).
const GREETING_BYTES: usize = 24 + 9;

/// The VM on the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) VmName);

pub(super) trait Bytes: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Bytes for T {}

/// An open channel.
pub(crate) struct ChannelStream {
    io: Pin<Box<dyn Bytes>>,
    peer: Peer,
    host: Arc<Host>,
    /// The VM is served no more, or by another channel.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    heard: Arc<AtomicUsize>,
}

/// Whether the other end of a channel has said its first words.
#[derive(Default)]
pub(crate) struct Greeted(Arc<AtomicUsize>);

impl Greeted {
    /// It has.
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= GREETING_BYTES
    }
}

impl ChannelStream {
    /// Of a channel that the host counts as open, until this is dropped.
    pub(super) fn new(
        io: impl Bytes + 'static,
        vm: &VmName,
        host: &Arc<Host>,
        end: CancellationToken,
    ) -> Self {
        let ended = Box::pin(end.cancelled_owned());
        let (peer, heard) = (Peer(vm.clone()), Arc::default());
        Self { io: Box::pin(io), peer, host: Arc::clone(host), ended, heard }
    }

    /// Whose it is.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// To be asked while somebody else has the stream.
    pub(crate) fn greeted(&self) -> Greeted {
        Greeted(Arc::clone(&self.heard))
    }
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        self.host.agents.close_channel(&self.peer.0);
        tracing::debug!(vm = %self.peer.0, "channel closed");
    }
}

impl AsyncRead for ChannelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        let read = ready!(self.io.as_mut().poll_read(cx, buf));
        let heard = self.heard.load(Ordering::Relaxed).saturating_add(buf.filled().len() - before);
        self.heard.store(heard, Ordering::Relaxed);
        Poll::Ready(read)
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.io.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.io.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.io.as_mut().poll_shutdown(cx)
    }
}
