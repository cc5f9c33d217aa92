//! How callers reach init: a virtio-serial port each in a machine, one unix socket in a namespace VM.

use crate::service::Service;
use anyhow::{Context as _, Result};
use futures_util::stream;
use nestless_lab::guest::{PORTS, port_name, proto::guest_server::GuestServer};
use nestless_support::serial_link::{SerialLink, SerialStream, VirtioPort};
use std::{
    io,
    os::fd::AsFd as _,
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

/// Serves, in a task, the socket that the lab listens on and has given to this process as its standard input: callers
/// can connect before this process is there, and while it is replaced.
pub(crate) fn on_standard_input(service: &Service) -> Result<()> {
    let descriptor = io::stdin().as_fd().try_clone_to_owned().context("take the lab's socket")?;
    let listener = std::os::unix::net::UnixListener::from(descriptor);
    listener.set_nonblocking(true).context("take the lab's socket")?;
    let listener = UnixListener::from_std(listener).context("take the lab's socket")?;
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
