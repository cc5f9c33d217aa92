//! A virtio-serial port in the guest (`/dev/vportXpY`).
//!
//! While no host is attached, `read` gives 0 and `poll` says EPOLLHUP without end (`port_fops_read` and `port_fops_poll` in
//! drivers/char/virtio_console.c, Linux 6.1). Tokio takes a hang-up for final and would spin on it. So the port is watched,
//! edge-triggered, by an epoll instance of its own for each direction, and Tokio watches those: they become readable once
//! per change of the port and never hang up.
#![expect(
    unsafe_code,
    reason = "registering a descriptor with Tokio is unsafe; the type that is registered owns it"
)]

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

const SYS_PORTS: &str = "/sys/class/virtio-ports";

/// An open port. Reads wait while no host is attached.
pub struct VirtioPort {
    port: File,
    readable: AsyncFd<Watch>,
    writable: AsyncFd<Watch>,
}

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum VirtioPortError {
    /// The VM has no such port.
    #[error(
        "no virtio-serial port is called {name:?}: does the VM have `-device virtserialport,name={name}`, and is virtio_console loaded?"
    )]
    Absent {
        /// As the hypervisor names it.
        name: String,
    },
    /// It is there and does not open; EBUSY when another process has it.
    #[error("open the virtio-serial port {path}")]
    Open {
        /// Its device file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It opened and cannot be watched.
    #[error("watch the virtio-serial port {path}")]
    Watch {
        /// Its device file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl VirtioPort {
    /// Opens the port that the hypervisor calls `name`. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When there is none, or it is taken.
    pub fn open_by_name(name: &str) -> Result<Self, VirtioPortError> {
        let path = find(Path::new(SYS_PORTS), name)
            .or_else(|| Some(Path::new("/dev/virtio-ports").join(name)).filter(|link| link.exists()))
            .ok_or_else(|| VirtioPortError::Absent { name: name.to_owned() })?;
        Self::open(&path)
    }

    /// Opens a port by its device file. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When it does not open, or cannot be watched.
    pub fn open(path: &Path) -> Result<Self, VirtioPortError> {
        let port = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)
            .map_err(|source| VirtioPortError::Open { path: path.to_owned(), source })?;
        Self::watch(port).map_err(|source| VirtioPortError::Watch { path: path.to_owned(), source })
    }

    fn watch(port: File) -> io::Result<Self> {
        let readable = Watch::new(&port, EpollFlags::EPOLLIN)?;
        let writable = Watch::new(&port, EpollFlags::EPOLLOUT)?;
        Ok(Self { port, readable, writable })
    }
}

/// The device file of the port called `name`, by what the kernel says.
fn find(ports: &Path, name: &str) -> Option<PathBuf> {
    let port = std::fs::read_dir(ports).ok()?.filter_map(Result::ok).find(|entry| {
        std::fs::read_to_string(entry.path().join("name")).is_ok_and(|found| found.trim_end() == name)
    })?;
    Some(Path::new("/dev").join(port.file_name()))
}

/// Becomes readable when the port changes in one direction.
struct Watch(Epoll);

impl Watch {
    fn new(port: &File, direction: EpollFlags) -> io::Result<AsyncFd<Self>> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(port, EpollEvent::new(direction | EpollFlags::EPOLLET, 0))?;
        // SAFETY: the watch owns its epoll descriptor and never replaces or closes it before it is dropped.
        Ok(unsafe { AsyncFd::register_with_interest(Self(epoll), Interest::READABLE) }?)
    }

    /// Whether the port changed since the last call.
    fn take_change(&self) -> io::Result<bool> {
        let mut events = [EpollEvent::empty()];
        Ok(self.0.wait(&mut events, EpollTimeout::ZERO)? > 0)
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

/// Tries now and after every change, until `attempt` gives something else than `None` (nothing yet).
fn poll_attempt<T>(
    watch: &AsyncFd<Watch>,
    cx: &mut Context<'_>,
    mut attempt: impl FnMut() -> io::Result<Option<T>>,
) -> Poll<io::Result<T>> {
    loop {
        match attempt() {
            Ok(Some(done)) => return Poll::Ready(Ok(done)),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Poll::Ready(Err(error)),
        }
        loop {
            let mut ready = ready!(watch.poll_read_ready(cx))?;
            if watch.get_ref().take_change()? {
                break;
            }
            ready.clear_ready();
        }
    }
}

impl AsyncRead for VirtioPort {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let space = buf.initialize_unfilled();
        if space.is_empty() {
            return Poll::Ready(Ok(()));
        }
        // No bytes means that no host is attached: nothing yet, not the end.
        let read = ready!(poll_attempt(&self.readable, cx, || (&self.port)
            .read(space)
            .map(|n| (n > 0).then_some(n))))?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for VirtioPort {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_attempt(&self.writable, cx, || (&self.port).write(bytes).map(Some))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
    };
    use tokio::{io::AsyncReadExt as _, sync::Notify};

    #[test]
    fn ports_are_found_by_the_kernels_name() {
        let ports = tempfile::tempdir().unwrap();
        for (port, name) in [("vport1p1", "other"), ("vport1p2", "org.nestless.channel.0")] {
            std::fs::create_dir(ports.path().join(port)).unwrap();
            std::fs::write(ports.path().join(port).join("name"), format!("{name}\n")).unwrap();
        }
        assert_eq!(find(ports.path(), "org.nestless.channel.0"), Some("/dev/vport1p2".into()));
        assert_eq!(find(ports.path(), "absent"), None);
        let error = VirtioPort::open_by_name("org.nestless.no-such-port").err().unwrap();
        assert!(matches!(error, VirtioPortError::Absent { .. }), "{error}");
    }

    /// A FIFO without a writer behaves as a port without a host: it hangs up, reads give 0, and a writer may come back.
    #[tokio::test]
    async fn a_hang_up_is_waited_out_without_spinning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        let mut port = VirtioPort {
            readable: Watch::new(&reader, EpollFlags::EPOLLIN).unwrap(),
            writable: Watch::new(&reader, EpollFlags::EPOLLOUT).unwrap(),
            port: reader,
        };
        let again = Arc::new(Notify::new());
        let mut stop = Arc::clone(&again);
        let mut buffer = [0; 8];
        for round in 0..3 {
            let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
            writer.write_all(b"round").unwrap();
            assert_eq!(port.read(&mut buffer).await.unwrap(), 5, "round {round}");
            drop(writer);
            let polls = Arc::new(AtomicU32::new(0));
            let counted = Arc::clone(&polls);
            let waiting = tokio::spawn(async move {
                let mut buffer = [0; 8];
                tokio::select! {
                    _ = port.read(&mut buffer) => panic!("nobody was attached"),
                    () = poll_fn(|_| { counted.fetch_add(1, Relaxed); Poll::Pending }) => {}
                    () = stop.notified() => {}
                }
                (port, stop)
            });
            // A reader that spins is polled again every time the runtime turns.
            for _ in 0..2000 {
                tokio::task::yield_now().await;
            }
            assert!(polls.load(Relaxed) < 10, "{polls:?} polls while nobody was attached");
            again.notify_one();
            (port, stop) = waiting.await.unwrap();
        }
    }
}
