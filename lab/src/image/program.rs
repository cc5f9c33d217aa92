//! Where our own programs are, and copies of them without debugging symbols for a guest's memory.

use crate::cache::{Cache, CacheError};
use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// What kept a program from being used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Not built, or elsewhere.
    #[error(
        "{name} is not in {}: build it (cargo build --bins), or say where it is with NESTLESS_BIN_DIR=DIR",
        list(searched)
    )]
    NotFound {
        /// The program.
        name: String,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// The cache failed.
    #[error("keep a copy of {name}")]
    Cache {
        /// The program.
        name: String,
        /// Why.
        #[source]
        source: CacheError,
    },
    /// It could not be read or copied.
    #[error("copy {path}")]
    Copy {
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" or ")
}

/// The directory our programs are in: `$NESTLESS_BIN_DIR`, else beside the running executable. A test runs from `deps/`
/// below that directory.
#[derive(Clone, Debug)]
pub struct Programs {
    searched: Vec<PathBuf>,
}

impl Programs {
    /// Finds the directories.
    pub fn locate() -> Self {
        if let Some(dir) = std::env::var_os("NESTLESS_BIN_DIR") {
            return Self { searched: vec![dir.into()] };
        }
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
        let above =
            beside.as_deref().filter(|dir| dir.ends_with("deps")).and_then(Path::parent).map(Path::to_owned);
        Self { searched: above.or(beside).into_iter().collect() }
    }

    /// Where `name` is.
    ///
    /// # Errors
    /// When it is in none of the directories.
    pub fn find(&self, name: &str) -> Result<PathBuf, ProgramError> {
        let found = self.searched.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
        found.ok_or_else(|| ProgramError::NotFound { name: name.to_owned(), searched: self.searched.clone() })
    }

    /// A copy of `name` without symbols, kept in `cache` until the program changes. Where there is no `strip`, the
    /// program itself.
    ///
    /// # Errors
    /// When the program is not there or cannot be copied.
    pub(crate) fn stripped(&self, name: &str, cache: &Cache) -> Result<PathBuf, ProgramError> {
        let path = self.find(name)?;
        let copy_failed = |source| ProgramError::Copy { path: path.clone(), source };
        let cached = |source| ProgramError::Cache { name: name.to_owned(), source };
        let meta = path.metadata().map_err(copy_failed)?;
        let identity = format!("{name}-{:x}-{:x}-{:x}", meta.size(), meta.mtime(), meta.mtime_nsec());
        let dir = cache.directory("programs").map_err(cached)?;
        let copy = dir.join(&identity);
        let _lock = cache.lock("programs").map_err(cached)?;
        if copy.is_file() {
            return Ok(copy);
        }
        let partial = dir.join(format!("{identity}.partial"));
        let stripped = Command::new("strip").arg("-o").arg(&partial).arg(&path).output();
        if !stripped.is_ok_and(|output| output.status.success()) {
            return Ok(path);
        }
        forget_older(&dir, name, &partial).map_err(copy_failed)?;
        std::fs::rename(&partial, &copy).map_err(copy_failed)?;
        Ok(copy)
    }
}

/// Removes the copies of earlier builds, unless a lab may be reading them just now: those of the last hour stay.
fn forget_older(dir: &Path, name: &str, keep: &Path) -> io::Result<()> {
    let prefix = format!("{name}-");
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let is_copy = entry
            .file_name()
            .to_str()
            .is_some_and(|n| n.strip_prefix(&prefix).is_some_and(|rest| rest.split('-').count() == 3));
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if is_copy && entry.path() != keep && age.as_secs() > 3600 {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_places() {
        let error =
            Programs { searched: vec!["/nowhere".into()] }.find("nestless-agent").unwrap_err().to_string();
        assert!(error.contains("nestless-agent is not in /nowhere: build it"), "{error}");
    }

    #[test]
    fn copies_are_made_once_and_again_when_the_program_changes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("cache")).unwrap();
        let programs = Programs { searched: vec![dir.path().to_owned()] };
        let program = dir.path().join("tool");
        std::fs::copy("/proc/self/exe", &program).unwrap();
        let first = programs.stripped("tool", &cache).unwrap();
        assert_eq!(programs.stripped("tool", &cache).unwrap(), first);
        assert!(first.metadata().unwrap().len() < program.metadata().unwrap().len());
        let file = std::fs::File::options().append(true).open(&program).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(programs.stripped("tool", &cache).unwrap(), first);
    }
}
