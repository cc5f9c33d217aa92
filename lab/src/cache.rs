//! Where the lab keeps what is slow to make: `$NESTLESS_CACHE`, else `~/.cache/nestless`.

use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// The cache could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{operation} in the cache {path} (another place: NESTLESS_CACHE=DIR)")]
pub struct CacheError {
    /// "create a directory", "lock".
    pub operation: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// A directory that may be deleted at any time while no lab is being built.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The user's cache.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open() -> Result<Self, CacheError> {
        let root = std::env::var_os("NESTLESS_CACHE").map(PathBuf::from).unwrap_or_else(|| {
            let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
            home.join(".cache/nestless")
        });
        Self::at(&root)
    }

    /// A cache at `root`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn at(root: &Path) -> Result<Self, CacheError> {
        let cache = Self { root: root.to_owned() };
        cache.directory("")?;
        Ok(cache)
    }

    /// A directory in the cache, made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf, CacheError> {
        let path = self.root.join(name);
        std::fs::create_dir_all(&path).map_err(|source| CacheError {
            operation: "create a directory",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// Keeps other processes out of `name` until the guard is dropped. Waits for them.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock(&self, name: &str) -> Result<Flock<File>, CacheError> {
        let path = self.root.join(format!("{name}.lock"));
        let failed = |source| CacheError { operation: "lock", path: path.clone(), source };
        let file = File::create(&path).map_err(failed)?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))
    }
}
