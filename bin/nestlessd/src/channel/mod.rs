//! How agents reach the daemon. Whatever the transport, what comes out is a byte stream with the VM it belongs to: that
//! is the caller's whole identity, and no message can change it.

mod serial;
mod tcp;
mod unix;
mod vsock;

use crate::{
    config::{Channel, Config},
    daemon::Host,
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use nestless_model::identity::VmName;
pub(crate) use unix::listen as listen_unix;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    task::JoinSet,
};
use tonic::transport::server::Connected;

/// The VM on the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) VmName);

trait Bytes: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Bytes for T {}

/// An open channel.
pub(crate) struct ChannelStream {
    io: Pin<Box<dyn Bytes>>,
    peer: Peer,
    host: Arc<Host>,
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        self.host.agents.close_channel(&self.peer.0);
        tracing::debug!(vm = %self.peer.0, "channel closed");
    }
}

/// How often one VM may open a channel. An agent whose connection breaks waits before it dials again.
const OPENINGS: Quota = Quota::per_second(NonZeroU32::new(5).expect("not zero"))
    .allow_burst(NonZeroU32::new(40).expect("not zero"));

/// Where open channels go, whatever they came by.
#[derive(Clone)]
struct Entrance {
    host: Arc<Host>,
    streams: mpsc::Sender<ChannelStream>,
    openings: Arc<DefaultKeyedRateLimiter<VmName>>,
}

impl Entrance {
    /// Takes a channel of a VM in, or closes it when the VM has too many or comes too often. False when the daemon stops.
    async fn admit(&self, io: impl AsyncRead + AsyncWrite + Send + 'static, vm: &VmName) -> bool {
        if self.openings.check_key(vm).is_err() || !self.host.agents.open_channel(vm) {
            tracing::debug!(%vm, "one channel too many; closed");
            return true;
        }
        tracing::debug!(%vm, "channel open");
        let stream = ChannelStream { io: Box::pin(io), peer: Peer(vm.clone()), host: Arc::clone(&self.host) };
        self.streams.send(stream).await.is_ok()
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

/// Opens every configured channel. Streams arrive on the receiver as agents call.
///
/// # Errors
/// When a socket cannot be bound or a certificate cannot be read.
pub(crate) fn open(
    config: &Config,
    host: &Arc<Host>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<mpsc::Receiver<ChannelStream>> {
    let (sender, streams) = mpsc::channel(16);
    let openings = Arc::new(RateLimiter::keyed(OPENINGS));
    let entrance = Entrance { host: Arc::clone(host), streams: sender, openings };
    let (mut cids, mut names) = (BTreeMap::new(), BTreeMap::new());
    for vm in &config.vms {
        let name = vm.name.clone();
        match &vm.channel {
            Channel::Serial(path) => drop(tasks.spawn(serial::serve(path.clone(), name, entrance.clone()))),
            Channel::Unix(path) => {
                let listener = unix::listen(path)?;
                tasks.spawn(unix::serve(listener, name, entrance.clone()));
            }
            Channel::VsockCid(cid) => drop(cids.insert(*cid, name)),
            Channel::Certificate(dns) => drop(names.insert(dns.clone(), name)),
        }
    }
    if !cids.is_empty() {
        let listener = vsock::listen()?;
        tasks.spawn(vsock::serve(listener, cids, entrance.clone()));
    }
    if let Some(tls) = &config.tls {
        let listener = tcp::Listener::bind(tls)?;
        tasks.spawn(listener.serve(names, entrance));
    }
    Ok(streams)
}
