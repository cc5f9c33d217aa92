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
use nestless_model::identity::VmName;
pub(crate) use unix::listen as listen_unix;

use std::{
    collections::BTreeMap,
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

impl ChannelStream {
    fn new(io: impl AsyncRead + AsyncWrite + Send + 'static, vm: VmName, host: &Arc<Host>) -> Self {
        host.note(&vm, |agent| agent.channels += 1);
        tracing::info!(%vm, "channel open");
        Self { io: Box::pin(io), peer: Peer(vm), host: Arc::clone(host) }
    }
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        self.host.note(&self.peer.0, |agent| agent.channels = agent.channels.saturating_sub(1));
        tracing::info!(vm = %self.peer.0, "channel closed");
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
    let (mut cids, mut names) = (BTreeMap::new(), BTreeMap::new());
    for vm in &config.vms {
        let name = vm.name.clone();
        match &vm.channel {
            Channel::Serial(path) => {
                drop(tasks.spawn(serial::serve(path.clone(), name, Arc::clone(host), sender.clone())))
            }
            Channel::Unix(path) => {
                let listener = unix::listen(path)?;
                tasks.spawn(unix::serve(listener, name, Arc::clone(host), sender.clone()));
            }
            Channel::VsockCid(cid) => drop(cids.insert(*cid, name)),
            Channel::Certificate(dns) => drop(names.insert(dns.clone(), name)),
        }
    }
    if !cids.is_empty() {
        let listener = vsock::listen()?;
        tasks.spawn(vsock::serve(listener, cids, Arc::clone(host), sender.clone()));
    }
    if let Some(tls) = &config.tls {
        let listener = tcp::Listener::bind(tls)?;
        tasks.spawn(listener.serve(names, Arc::clone(host), sender));
    }
    Ok(streams)
}
