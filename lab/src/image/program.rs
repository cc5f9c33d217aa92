//! Our own programs, where they are, and copies of them without debugging symbols for a guest's memory.

use crate::cache::{Cache, CacheError};
use std::{
    fmt, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A program of this project. All are built by `cargo build`: their packages are Cargo's `default-members`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The operator's command, labs and benches included.
    Nestless,
    /// The host daemon.
    Nestlessd,
    /// The agent in a VM.
    Agent,
    /// The CNI plugin.
    Cni,
    /// The first process of a lab's VM.
    LabInit,
    /// What benches measure latency with.
    Probe,
    /// A test's server that tells its callers their addresses.
    TestEcho,
    /// What tests send and hear raw frames with.
    TestFrames,
    /// The battery of services that tests try a localhost with.
    TestLocalhost,
}

impl Program {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Nestless,
        Self::Nestlessd,
        Self::Agent,
        Self::Cni,
        Self::LabInit,
        Self::Probe,
        Self::TestEcho,
        Self::TestFrames,
        Self::TestLocalhost,
    ];

    /// Its file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nestless => "nestless",
            Self::Nestlessd => "nestlessd",
            Self::Agent => "nestless-agent",
            Self::Cni => "nestless-cni",
            Self::LabInit => "nestless-lab-init",
            Self::Probe => "nestless-probe",
            Self::TestEcho => "nestless-test-echo",
            Self::TestFrames => "nestless-test-frames",
            Self::TestLocalhost => "nestless-test-localhost",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kept a program from being used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Not built, or elsewhere.
    #[error(
        "{program} is not in {}: build it (`cargo build` builds all programs), or say where it is with \
         NESTLESS_BIN_DIR=DIR",
        list(searched)
    )]
    NotFound {
        /// The program.
        program: Program,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// The cache failed.
    #[error("keep a copy of {program}")]
    Cache {
        /// The program.
        program: Program,
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

    /// Where `program` is.
    ///
    /// # Errors
    /// When it is in none of the directories.
    pub fn find(&self, program: Program) -> Result<PathBuf, ProgramError> {
        let found = self.searched.iter().map(|dir| dir.join(program.name())).find(|path| path.is_file());
        found.ok_or_else(|| ProgramError::NotFound { program, searched: self.searched.clone() })
    }

    /// A copy of `program` without symbols, kept in `cache` until the program changes. Where there is no `strip`, the
    /// program itself.
    ///
    /// # Errors
    /// When the program is not there or cannot be copied.
    pub(crate) fn stripped(&self, program: Program, cache: &Cache) -> Result<PathBuf, ProgramError> {
        let path = self.find(program)?;
        let copy_failed = |source| ProgramError::Copy { path: path.clone(), source };
        let cached = |source| ProgramError::Cache { program, source };
        let meta = path.metadata().map_err(copy_failed)?;
        let identity = format!("{program}-{:x}-{:x}-{:x}", meta.size(), meta.mtime(), meta.mtime_nsec());
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
        forget_older(&dir, program, &partial).map_err(copy_failed)?;
        std::fs::rename(&partial, &copy).map_err(copy_failed)?;
        Ok(copy)
    }
}

/// Removes the copies of earlier builds, unless a lab may be reading them just now: those of the last hour stay.
fn forget_older(dir: &Path, program: Program, keep: &Path) -> io::Result<()> {
    let prefix = format!("{program}-");
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
    use std::collections::BTreeSet;

    #[test]
    fn a_missing_program_is_named_with_the_places() {
        let error =
            Programs { searched: vec!["/nowhere".into()] }.find(Program::Agent).unwrap_err().to_string();
        assert!(error.contains("nestless-agent is not in /nowhere: build it"), "{error}");
    }

    /// Neither a program nor its package can be forgotten.
    #[test]
    fn what_cargo_builds_is_every_program() {
        let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
        let metadata = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
        let members = list(&metadata["workspace_default_members"]);
        let packages =
            list(&metadata["packages"]).into_iter().filter(|package| members.contains(&package["id"]));
        let targets = packages.flat_map(|package| list(&package["targets"]));
        let built = targets
            .filter(|target| list(&target["kind"]).contains(&"bin".into()))
            .map(|target| target["name"].as_str().unwrap().to_owned());
        let all = Program::ALL.map(|program| program.name().to_owned());
        assert_eq!(built.collect::<BTreeSet<_>>(), BTreeSet::from(all));
    }

    #[test]
    fn copies_are_made_once_and_again_when_the_program_changes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("cache")).unwrap();
        let programs = Programs { searched: vec![dir.path().to_owned()] };
        let program = dir.path().join(Program::Cni.name());
        std::fs::copy("/proc/self/exe", &program).unwrap();
        let first = programs.stripped(Program::Cni, &cache).unwrap();
        assert_eq!(programs.stripped(Program::Cni, &cache).unwrap(), first);
        assert!(first.metadata().unwrap().len() < program.metadata().unwrap().len());
        let file = std::fs::File::options().append(true).open(&program).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(programs.stripped(Program::Cni, &cache).unwrap(), first);
    }
}
