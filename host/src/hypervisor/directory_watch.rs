//! Waits for something to be made in or taken out of a directory (inotify): a socket that appears, a namespace that is
//! unmounted and deleted.
#![expect(
    unsafe_code,
    reason = "registering a descriptor with Tokio is unsafe; the type that is registered owns it"
)]

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};
use std::{
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    path::Path,
};
use tokio::io::{Interest, unix::AsyncFd};

pub(super) struct DirectoryWatch(AsyncFd<Owned>);

struct Owned(Inotify);

impl AsRawFd for Owned {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl DirectoryWatch {
    /// Watches the directory that holds `path`. Changes are kept from now on.
    pub(super) fn around(path: &Path) -> io::Result<Self> {
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let changes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(directory, changes)?;
        // SAFETY: `Owned` owns the descriptor and never replaces or closes it before it is dropped.
        Ok(Self(unsafe { AsyncFd::register_with_interest(Owned(inotify), Interest::READABLE) }?))
    }

    /// Returns once something changed since the last call. May be cancelled.
    pub(super) async fn changed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            match self.0.get_ref().0.read_events() {
                Ok(_) => return Ok(()),
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
