//! New namespaces: without a name, or bind-mounted at a path.

use super::{Namespace, NamespaceError};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use std::{fs, io, os::fd::AsFd as _, os::fd::AsRawFd as _, path::Path, thread};

/// What messages call a namespace that no path leads to.
const UNNAMED: &str = "(unnamed)";

impl Namespace {
    /// Makes a namespace without a path. It goes, with all links made in it, when the last descriptor and the last
    /// process of it go.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn anonymous() -> Result<Self, NamespaceError> {
        on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|source| NamespaceError::Make { source })?;
            Ok(Self { origin: Path::new(UNNAMED).into(), ..Self::current()? })
        })
    }

    /// Makes a namespace and bind-mounts it at `path`, whose parents are made as needed. An empty file that is there is
    /// taken over: it is what a crash between making the file and mounting on it leaves.
    ///
    /// # Errors
    /// [`NamespaceError::Exists`] when there is one already, others when the kernel refuses; nothing is left then.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, NamespaceError> {
        let path = path.as_ref();
        if Self::open(path).is_ok() {
            return Err(NamespaceError::Exists { path: path.to_owned() });
        }
        let namespace = Self::anonymous()?;
        prepare(path).map_err(|source| NamespaceError::Prepare { path: path.to_owned(), source })?;
        // Any thread sees this one's descriptors, so the mount needs no stay inside the namespace.
        let source = format!("/proc/self/fd/{}", namespace.as_fd().as_raw_fd());
        let mounted = mount(Some(source.as_str()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        if let Err(source) = mounted {
            // The file is ours and empty; if even this fails, the next attempt takes it over.
            let _ = fs::remove_file(path);
            return Err(NamespaceError::Mount { path: path.to_owned(), source });
        }
        Self::open(path)
    }

    /// Opens the namespace at `path`, or makes it.
    ///
    /// # Errors
    /// As [`Namespace::create`].
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self, NamespaceError> {
        let path = path.as_ref();
        Self::open(path).or_else(|_| Self::create(path))
    }

    /// Takes the path away from a namespace; succeeds when there is nothing. The namespace itself goes with its last
    /// descriptor and process.
    ///
    /// # Errors
    /// When what is there cannot be unmounted or removed, or is a file with contents, which is surely not ours.
    pub fn delete(path: impl AsRef<Path>) -> Result<(), NamespaceError> {
        let path = path.as_ref();
        let failed = |source| NamespaceError::Remove { path: path.to_owned(), source };
        // One namespace may have been mounted over another.
        loop {
            match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
                Ok(()) => {}
                // Not a mount point (any more), or not there.
                Err(Errno::EINVAL | Errno::ENOENT) => break,
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => {
                fs::remove_file(path).map_err(failed)
            }
            Ok(_) => Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "it is no empty file"))),
        }
    }
}

/// Makes the empty file that a namespace is mounted on.
fn prepare(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(path)?;
            if metadata.is_file() && metadata.len() == 0 { Ok(()) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
}

/// A thread that unshares must not do anything else afterwards.
fn on_a_thread<T: Send>(
    work: impl FnOnce() -> Result<T, NamespaceError> + Send,
) -> Result<T, NamespaceError> {
    let path = || Path::new(UNNAMED).to_owned();
    thread::scope(|scope| {
        thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, work)
            .map_err(|source| NamespaceError::Thread { path: path(), source })?
            .join()
            .map_err(|_| NamespaceError::Panicked { path: path() })?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_holds_its_namespace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deeper/parking");
        let made = Namespace::create(&path).unwrap();
        assert_eq!(Namespace::open(&path).unwrap().id().unwrap(), made.id().unwrap());
        assert_eq!(Namespace::open_or_create(&path).unwrap().id().unwrap(), made.id().unwrap());
        assert!(matches!(Namespace::create(&path), Err(NamespaceError::Exists { .. })));

        Namespace::delete(&path).unwrap();
        assert!(!path.exists());
        Namespace::delete(&path).unwrap();
    }

    #[test]
    fn what_a_crash_left_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("half");
        fs::write(&path, b"").unwrap();
        Namespace::create(&path).unwrap();
        Namespace::delete(&path).unwrap();
    }

    #[test]
    fn a_file_of_someone_elses_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        fs::write(&path, b"text").unwrap();
        assert!(matches!(Namespace::create(&path), Err(NamespaceError::Prepare { .. })));
        assert!(matches!(Namespace::delete(&path), Err(NamespaceError::Remove { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }
}
