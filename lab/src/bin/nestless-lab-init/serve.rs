//! How callers reach init: a virtio-serial port each in a machine, one unix socket in a namespace VM.

use crate::service::Service;
use anyhow::{Context as _, Result};
use futures_util::stream;
use nestless_lab::guest::{PORTS, port_name, proto::guest_server::GuestServer};
use nestless_support::serial_link::{SerialLink, SerialStream, VirtioPort};
use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixListener,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Server, server::Connected};

/// Serves every virtio-serial port of the lab's, each in a task.
pub(crate) fn on_ports(service: &Service) -> Result<()> {
    for number in 0..PORTS {
        let name = port_name(number);
        let link = SerialLink::new(VirtioPort::open_by_name(&name)?);
        let sessions = stream::unfold(link, |mut link| async {
            let session = link.accept().await.ok()?;
            Some((Ok::<_, io::Error>(Session(session)), link))
        });
        let service = GuestServer::new(service.clone());
        tokio::spawn(async move {
            if let Err(error) = Server::builder().add_service(service).serve_with_incoming(sessions).await {
                eprintln!("nestless-lab-init: serve {name}: {error}");
            }
        });
    }
    Ok(())
}

/// Serves a unix socket in a task.
pub(crate) fn on_socket(service: &Service, path: &Path) -> Result<()> {
    // Of the VM's last run.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context("remove the old socket");
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
    let service = GuestServer::new(service.clone());
    tokio::spawn(async move {
        let served =
            Server::builder().add_service(service).serve_with_incoming(UnixListenerStream::new(listener));
        if let Err(error) = served.await {
            eprintln!("nestless-lab-init: serve the lab's socket: {error}");
        }
    });
    Ok(())
}

/// A caller on a serial port, as tonic wants it.
struct Session(SerialStream);

impl Connected for Session {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Session {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
