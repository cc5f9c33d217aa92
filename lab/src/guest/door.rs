//! The way to a VM's init: a virtio-serial port of a QEMU guest for each caller, or one socket of a namespace VM for all.

use super::error::GuestError;
use hyper_util::rt::TokioIo;
use nestless_model::identity::VmName;
use nestless_support::serial_link::SerialLink;
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};
use tonic::transport::{Channel, Endpoint};

/// How many callers can use one QEMU guest at the same time, each with any number of requests.
pub const PORTS: usize = 4;

/// Name of the virtio-serial port with this number; a caller needs one for itself.
pub fn port_name(number: usize) -> String {
    format!("org.nestless.lab.{number}")
}

/// The socket of one of a QEMU guest's ports.
pub(crate) fn port_socket(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("lab.{number}.sock"))
}

/// Where a VM's init listens.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// One virtio-serial socket per caller: the first that nobody holds.
    Ports(PathBuf),
    /// One socket for all callers.
    Socket(PathBuf),
}

/// What a session needs to stay alive.
#[derive(Default)]
pub(super) struct Held {
    link: Option<SerialLink>,
    port: Option<Flock<File>>,
}

impl Door {
    /// Waits until the VM's init is ready, for as long as its channel is there.
    pub(super) async fn open(&self, vm: &VmName) -> Result<(Channel, Held), GuestError> {
        let (path, held, stream): (PathBuf, Held, Box<dyn Io>) = match self {
            Self::Socket(path) => {
                let failed = |source| GuestError::Connect { vm: vm.clone(), path: path.clone(), source };
                let stream = UnixStream::connect(path).await.map_err(failed)?;
                (path.clone(), Held::default(), Box::new(stream))
            }
            Self::Ports(dir) => {
                let failed = |source| GuestError::Connect { vm: vm.clone(), path: dir.clone(), source };
                let (number, lock) = free_port(dir.clone()).await.map_err(failed)?;
                let path = port_socket(dir, number);
                let stream = UnixStream::connect(&path).await.map_err(failed)?;
                let mut link = SerialLink::new(stream);
                let session = link.connect().await.map_err(|closed| failed(closed.kind.into()))?;
                (path, Held { link: Some(link), port: Some(lock) }, Box::new(session))
            }
        };
        let channel = speak(stream).await.map_err(|source| GuestError::Session { vm: vm.clone(), source })?;
        tracing::debug!(%vm, path = %path.display(), "session open");
        Ok((channel, held))
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// HTTP/2 on this one stream: a session that breaks is not tried again, for its port may be another caller's by then.
async fn speak(stream: Box<dyn Io>) -> Result<Channel, tonic::transport::Error> {
    let stream = Mutex::new(Some(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { stream.map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    Endpoint::from_static("http://lab").connect_with_connector(connector).await
}

/// A port that no other caller on this host holds; waits for one when all are held.
async fn free_port(dir: PathBuf) -> io::Result<(usize, Flock<File>)> {
    let locking = tokio::task::spawn_blocking(move || {
        let open = |number: usize| File::create(dir.join(format!("lab.{number}.lock")));
        for number in 0..PORTS {
            if let Ok(lock) = Flock::lock(open(number)?, FlockArg::LockExclusiveNonblock) {
                return Ok((number, lock));
            }
        }
        let last = PORTS - 1;
        Flock::lock(open(last)?, FlockArg::LockExclusive)
            .map(|lock| (last, lock))
            .map_err(|(_, errno)| errno.into())
    });
    locking.await.map_err(io::Error::other)?
}

impl Drop for Held {
    fn drop(&mut self) {
        // The link first: the port is free for others only when nobody writes on it any more.
        self.link.take();
        self.port.take();
    }
}
