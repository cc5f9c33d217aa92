//! Names and paths of everything a lab has, so that anyone who knows its name can find it, and remove it.
//!
//! ```text
//! /run/netns/nl-NAME             the host: nestlessd and QEMU run inside it
//! /run/netns/nl-NAME-VM          a namespace VM
//! /run/nestless/lab/NAME/        state.json, nestlessd.toml, logs, run/ and state/ of nestlessd
//! /run/nestless/lab/NAME/VM/     sockets and console of a VM
//! /run/nestless/lab/NAME.lock    held by whoever builds or removes it, or owns it in the foreground
//! /run/nestless/lab.failed/NAME/ its logs, if `lab up` could not build it, until it is removed or built again
//! ```

use nestless_model::identity::VmName;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Holds all labs.
pub(crate) const LABS: &str = "/run/nestless/lab";
/// Where logs are kept of labs that could not be built.
const FAILED: &str = "/run/nestless/lab.failed";
/// Where iproute2 keeps namespaces.
pub(crate) const NAMESPACES: &str = "/run/netns";
/// What the host is called where a VM could stand.
pub const HOST: &str = "host";

/// A lab's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

/// A name that no lab, or no VM of a lab, can have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LabNameError {
    /// For a lab.
    #[error(
        "{text:?} is not a lab's name: expected 1 to 24 letters, digits, '_' or '-', beginning with a letter or digit"
    )]
    Lab {
        /// What was given.
        text: String,
    },
    /// For a VM.
    #[error(
        "{text:?} is not the name of a lab's VM: expected 1 to 24 letters, digits, '_' or '-', beginning with a letter or digit, and not {HOST:?}"
    )]
    Vm {
        /// What was given.
        text: String,
    },
}

/// Short enough for every socket below it to fit `sockaddr_un` (108 bytes).
fn is_short_name(text: &str) -> bool {
    text.len() <= 24
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

impl LabName {
    /// # Errors
    /// When it is none.
    pub fn new(text: impl Into<String>) -> Result<Self, LabNameError> {
        let text = text.into();
        if is_short_name(&text) {
            Ok(Self(text))
        } else {
            Err(LabNameError::Lab { text: text.chars().take(80).collect() })
        }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The lab's directory.
    pub fn dir(&self) -> PathBuf {
        Path::new(LABS).join(&self.0)
    }

    /// The network namespace that is the lab's host.
    pub fn host_namespace(&self) -> PathBuf {
        Path::new(NAMESPACES).join(format!("nl-{}", self.0))
    }

    /// The network namespace that is a namespace VM.
    pub fn vm_namespace(&self, vm: &VmName) -> PathBuf {
        Path::new(NAMESPACES).join(format!("nl-{}-{vm}", self.0))
    }

    /// A VM's directory.
    pub fn vm_dir(&self, vm: &VmName) -> PathBuf {
        self.dir().join(vm.as_str())
    }

    /// The logs that outlive a lab which could not be built.
    pub(crate) fn kept_logs(&self) -> PathBuf {
        Path::new(FAILED).join(&self.0)
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.dir().join("state.json")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        Path::new(LABS).join(format!("{}.lock", self.0))
    }

    /// Takes the lab for this process alone; `None` when another process has it. The lock file must be removed, by
    /// [`LabName::remove_lock`], before the lock is dropped.
    pub(crate) fn lock(&self) -> io::Result<Option<Flock<File>>> {
        std::fs::create_dir_all(LABS)?;
        let path = self.lock_file();
        loop {
            let file = File::create(&path)?;
            let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
            // Whoever held it before may have removed the file that we locked.
            match std::fs::metadata(&path) {
                Ok(now) if now.ino() == lock.metadata()?.ino() => return Ok(Some(lock)),
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }

    pub(crate) fn remove_lock(&self) -> io::Result<()> {
        absent_is_fine(std::fs::remove_file(self.lock_file()))
    }
}

/// Removing what is not there is done.
pub(crate) fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// The name of a lab's VM.
pub(crate) fn vm_name(text: &str) -> Result<VmName, LabNameError> {
    let bad = || LabNameError::Vm { text: text.chars().take(80).collect() };
    if !is_short_name(text) || text == HOST {
        return Err(bad());
    }
    VmName::new(text).map_err(|_| bad())
}

/// Every lab that has a directory or a lock.
pub(crate) fn all() -> io::Result<Vec<LabName>> {
    let mut names = std::collections::BTreeSet::new();
    for entry in list(Path::new(LABS))? {
        names.extend(LabName::new(entry.strip_suffix(".lock").unwrap_or(&entry)));
    }
    Ok(names.into_iter().collect())
}

/// The names in a directory; none if it does not exist.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<String>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl TryFrom<String> for LabName {
    type Error = LabNameError;
    fn try_from(text: String) -> Result<Self, LabNameError> {
        Self::new(text)
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> String {
        name.0
    }
}

impl std::str::FromStr for LabName {
    type Err = LabNameError;
    fn from_str(text: &str) -> Result<Self, LabNameError> {
        Self::new(text)
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths() {
        for bad in ["", "-a", "a/b", "..", "a.b", "a b", &"a".repeat(25)] {
            assert!(LabName::new(bad).is_err(), "{bad:?}");
            assert!(vm_name(bad).is_err(), "{bad:?}");
        }
        assert!(vm_name(HOST).is_err());
        let longest = LabName::new("a".repeat(24)).unwrap();
        let socket = longest.vm_dir(&vm_name(&"b".repeat(24)).unwrap()).join("channel.sock");
        assert!(socket.as_os_str().len() < 108);
    }
}
