//! Network namespaces: open one, make one, do something inside one.
//!
//! A thread is what has a namespace, so whatever must happen inside another one happens on a thread of its own, which
//! ends with the work: no thread of a runtime ever comes back in the wrong namespace. A socket belongs for ever to the
//! namespace it was made in, wherever it is used later.

#![expect(unsafe_code, reason = "NS_GET_NSTYPE is an ioctl that nix does not wrap")]

mod create;
mod enter;

use nix::{
    errno::Errno,
    sched::CloneFlags,
    sys::statfs::{NSFS_MAGIC, fstatfs},
};
use std::{
    fmt, fs, io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

mod ioctl {
    // include/uapi/linux/nsfs.h: NSIO is 0xb7, NS_GET_NSTYPE is 3 (since Linux 4.11).
    nix::ioctl_none_bad!(ns_get_nstype, nix::request_code_none!(0xb7, 0x3));
}

/// An open network namespace. It lives at least as long as this; clones share one descriptor.
#[derive(Clone)]
pub struct Namespace {
    file: Arc<OwnedFd>,
    /// Where it was found, for messages.
    origin: Arc<Path>,
}

/// Tells namespaces apart, whatever path they were reached by (the device and inode of nsfs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId {
    device: u64,
    inode: u64,
}

impl Namespace {
    /// Opens the namespace at `path`: one bind-mounted there, or a file like `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// [`NamespaceError::Open`] when there is nothing to open, [`NamespaceError::NotNetwork`] when it is something else.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, NamespaceError> {
        let path = path.as_ref();
        // Without O_NONBLOCK, a FIFO at this path would hold the caller for ever.
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)
            .map_err(|source| NamespaceError::Open { path: path.to_owned(), source })?;
        Self::from_descriptor(file.into(), path)
    }

    /// The namespace of a process, or of any thread by its thread id.
    ///
    /// # Errors
    /// As [`Namespace::open`]: there may be no such process, or it may not be ours to look at.
    pub fn of_process(pid: u32) -> Result<Self, NamespaceError> {
        Self::open(format!("/proc/{pid}/ns/net"))
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// As [`Namespace::open`]: `/proc` may not be mounted.
    pub fn current() -> Result<Self, NamespaceError> {
        Self::open("/proc/thread-self/ns/net")
    }

    /// Takes a descriptor received from elsewhere. `origin` is only for messages.
    ///
    /// # Errors
    /// [`NamespaceError::NotNetwork`] when it is no network namespace.
    pub fn from_descriptor(descriptor: OwnedFd, origin: impl AsRef<Path>) -> Result<Self, NamespaceError> {
        let origin = origin.as_ref();
        let found = what_it_is(descriptor.as_fd());
        if found != Found::NetworkNamespace {
            return Err(NamespaceError::NotNetwork { path: origin.to_owned(), found });
        }
        Ok(Self { file: Arc::new(descriptor), origin: origin.into() })
    }

    /// Its identity.
    ///
    /// # Errors
    /// When `fstat` fails, which it does for no open namespace.
    pub fn id(&self) -> Result<NamespaceId, NamespaceError> {
        self.file
            .try_clone()
            .and_then(|copy| fs::File::from(copy).metadata())
            .map(|metadata| NamespaceId { device: metadata.dev(), inode: metadata.ino() })
            .map_err(|source| NamespaceError::Open { path: self.origin.to_path_buf(), source })
    }

    /// Where it was found.
    pub fn origin(&self) -> &Path {
        &self.origin
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({})", self.origin.display())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network namespace {}", self.origin.display())
    }
}

/// What a descriptor that was to be a network namespace turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// What it should be.
    NetworkNamespace,
    /// A namespace of another kind.
    OtherNamespace,
    /// No namespace at all: an ordinary file, or a mount point whose namespace is gone.
    OtherFile,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkNamespace => "a network namespace",
            Self::OtherNamespace => "a namespace of another kind",
            Self::OtherFile => "no namespace",
        })
    }
}

fn what_it_is(descriptor: BorrowedFd<'_>) -> Found {
    // The ioctl's number may mean anything to a device, so the file system is asked first.
    if !fstatfs(descriptor).is_ok_and(|fs| fs.filesystem_type() == NSFS_MAGIC) {
        return Found::OtherFile;
    }
    // SAFETY: the descriptor is open while borrowed, and NS_GET_NSTYPE takes no argument.
    match unsafe { ioctl::ns_get_nstype(descriptor.as_raw_fd()) } {
        Ok(kind) if kind == CloneFlags::CLONE_NEWNET.bits() => Found::NetworkNamespace,
        _ => Found::OtherNamespace,
    }
}

/// What can go wrong with a namespace.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// It cannot be opened.
    #[error("open network namespace {path}", path = path.display())]
    Open {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else is there.
    #[error("{path} is {found}, not a network namespace", path = path.display())]
    NotNetwork {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: Found,
    },
    /// No new one can be made.
    #[error("make a network namespace (this needs CAP_SYS_ADMIN)")]
    Make {
        /// Why.
        #[source]
        source: Errno,
    },
    /// There is one already.
    #[error("{path} is a network namespace already", path = path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The file that it is to be mounted on cannot be made.
    #[error("prepare {path} for a network namespace", path = path.display())]
    Prepare {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be given its path.
    #[error("bind-mount a network namespace at {path}", path = path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// Its path cannot be taken away.
    #[error("remove the network namespace at {path}", path = path.display())]
    Remove {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be entered.
    #[error("enter network namespace {path} (this needs CAP_SYS_ADMIN)", path = path.display())]
    Enter {
        /// Where it was found.
        path: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// No thread to do it on.
    #[error("start a thread for network namespace {path}", path = path.display())]
    Thread {
        /// Where it was found.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The work inside it did not return.
    #[error("the work inside network namespace {path} panicked", path = path.display())]
    Panicked {
        /// Where it was found.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_network_namespace_is_named() {
        let missing = Namespace::open("/nowhere/ns").unwrap_err();
        assert_eq!(missing.to_string(), "open network namespace /nowhere/ns");
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Namespace::open(file.path()).unwrap_err();
        assert!(matches!(error, NamespaceError::NotNetwork { found: Found::OtherFile, .. }), "{error}");
        let error = Namespace::open("/proc/self/ns/mnt").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/proc/self/ns/mnt is a namespace of another kind, not a network namespace"
        );
    }

    #[test]
    fn a_fifo_does_not_hold_us() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(matches!(Namespace::open(&path), Err(NamespaceError::NotNetwork { .. })));
    }

    #[test]
    fn one_namespace_has_one_id() {
        let current = Namespace::current().unwrap();
        let same = Namespace::of_process(std::process::id()).unwrap();
        assert_eq!(current.id().unwrap(), same.id().unwrap());
    }
}
