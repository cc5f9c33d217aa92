//! An open channel, as a stream of bytes that knows its VM.

use crate::daemon::Host;
use nestless_model::identity::VmName;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

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
        Self { io: Box::pin(io), peer: Peer(vm.clone()), host: Arc::clone(host), ended }
    }
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        self.host.agents.close_channel(&self.peer.0);
        tracing::debug!(vm = %self.peer.0, "channel closed");
    }
}

impl Connected for ChannelStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
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
        self.io.as_mut().poll_read(cx, buf)
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
