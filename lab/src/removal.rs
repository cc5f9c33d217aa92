//! Removes a lab, by looking at what is there: it needs no memory of how the lab was built, and so works after a crash.

use crate::{
    names::{self, LabName, absent_is_fine},
    process::{self, ProcessRecord},
    state::{LabState, StateError},
};
use nestless_support::netns::{Namespace, NamespaceError};
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// A killed QEMU gives its memory back first.
const KILL_DEADLINE: Duration = Duration::from_secs(20);
/// A process may start another one while it is being killed; after a few rounds nobody is left who could.
const KILL_ROUNDS: usize = 8;

/// What could not be removed. What could, is gone all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemovalError {
    /// Someone builds, removes or owns it just now.
    #[error("lab {lab} belongs to a running process: end that first")]
    InUse {
        /// The lab.
        lab: LabName,
    },
    /// The lock could not be taken.
    #[error("lock lab {lab}")]
    Lock {
        /// The lab.
        lab: LabName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its state is damaged; nothing but what carries its name was removed.
    #[error("learn what lab {lab} was made of")]
    State {
        /// The lab.
        lab: LabName,
        /// Why.
        #[source]
        source: StateError,
    },
    /// A process would not die.
    #[error("end process {pid} of lab {lab}")]
    Process {
        /// The lab.
        lab: LabName,
        /// The process.
        pid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Processes could not be listed.
    #[error("look for the processes of lab {lab}")]
    Processes {
        /// The lab.
        lab: LabName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A namespace could not be removed.
    #[error("remove a namespace of lab {lab}")]
    Namespace {
        /// The lab.
        lab: LabName,
        /// Why.
        #[source]
        source: NamespaceError,
    },
    /// A directory or file could not be removed.
    #[error("remove {path} of lab {lab}")]
    Files {
        /// The lab.
        lab: LabName,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Labs could not be listed.
    #[error("list the labs")]
    List(#[source] io::Error),
}

/// Removes the lab; whether there was anything. Blocks: for a thread that may.
///
/// # Errors
/// All that could not be removed; whatever could be is gone.
pub fn remove(lab: &LabName) -> Result<bool, Vec<RemovalError>> {
    let taken = lab.lock().map_err(|source| vec![RemovalError::Lock { lab: lab.clone(), source }])?;
    let Some(_lock) = taken else { return Err(vec![RemovalError::InUse { lab: lab.clone() }]) };
    let kept = lab.kept_logs();
    let existed = [lab.dir(), lab.host_namespace(), kept.clone()].iter().any(|path| path.exists());
    let mut errors = remove_held(lab);
    if let Err(source) = remove_directory(&kept) {
        errors.push(RemovalError::Files { lab: lab.clone(), path: kept, source });
    }
    if errors.is_empty() { Ok(existed) } else { Err(errors) }
}

/// Removes every lab, and every namespace that a lab whose directory is gone has left. Those that belong to a running
/// process are left alone and reported.
///
/// # Errors
/// As [`remove`], of all labs.
pub fn remove_all() -> Result<Vec<LabName>, Vec<RemovalError>> {
    let mut removed = Vec::new();
    let mut errors = Vec::new();
    let mut kept = Vec::new();
    for lab in names::all().map_err(|source| vec![RemovalError::List(source)])? {
        match remove(&lab) {
            Ok(true) => removed.push(lab),
            Ok(false) => {}
            Err(found) => {
                errors.extend(found);
                kept.push(lab);
            }
        }
    }
    for lab in orphans(&kept).map_err(|source| vec![RemovalError::List(source)])? {
        match remove(&lab) {
            Ok(_) => removed.push(lab),
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() { Ok(removed) } else { Err(errors) }
}

/// Namespaces called as a lab's that no lab claims. Removing a lab called like the rest of the name removes each.
fn orphans(kept: &[LabName]) -> io::Result<Vec<LabName>> {
    let of_kept = |name: &str| {
        kept.iter().any(|lab| {
            name == lab.as_str() || name.strip_prefix(lab.as_str()).is_some_and(|r| r.starts_with('-'))
        })
    };
    let found = names::list(Path::new(names::NAMESPACES))?;
    Ok(found
        .iter()
        .filter_map(|name| name.strip_prefix("nl-"))
        .filter(|name| !of_kept(name))
        .filter_map(|name| LabName::new(name).ok())
        .collect())
}

/// Removes a lab that this process has locked, and the lock file last.
pub(crate) fn remove_held(lab: &LabName) -> Vec<RemovalError> {
    let mut errors = Vec::new();
    let state = LabState::read(lab).unwrap_or_else(|source| {
        errors.push(RemovalError::State { lab: lab.clone(), source });
        None
    });
    let namespaces = namespaces(lab, state.as_ref());
    errors.extend(end_processes(lab, state.as_ref(), &namespaces));
    for path in &namespaces {
        if let Err(source) = Namespace::delete(path) {
            errors.push(RemovalError::Namespace { lab: lab.clone(), source });
        }
    }
    for path in [lab.dir(), bpf_pins(lab)] {
        if let Err(source) = remove_directory(&path) {
            errors.push(RemovalError::Files { lab: lab.clone(), path, source });
        }
    }
    if let Err(source) = lab.remove_lock() {
        errors.push(RemovalError::Files { lab: lab.clone(), path: lab.lock_file(), source });
    }
    errors
}

/// Where the lab's nestlessd pins its eBPF programs: the instance is called by the lab.
fn bpf_pins(lab: &LabName) -> PathBuf {
    Path::new("/sys/fs/bpf/nestless").join(crate::daemon::instance(lab))
}

fn namespaces(lab: &LabName, state: Option<&LabState>) -> Vec<PathBuf> {
    let vms = state.into_iter().flat_map(|state| &state.vms);
    vms.map(|vm| lab.vm_namespace(&vm.name)).chain([lab.host_namespace()]).collect()
}

fn end_processes(lab: &LabName, state: Option<&LabState>, namespaces: &[PathBuf]) -> Vec<RemovalError> {
    let ids: Vec<_> = namespaces.iter().filter_map(|path| Namespace::open(path).ok()?.id().ok()).collect();
    let recorded = state.into_iter().flat_map(|s| s.vms.iter().filter_map(|vm| vm.process).chain(s.daemon));
    let mut targets: Vec<ProcessRecord> = recorded.collect();
    let mut errors = Vec::new();
    let mut stubborn = BTreeSet::new();
    for _ in 0..KILL_ROUNDS {
        match process::inside(&ids) {
            Ok(found) => targets.extend(found),
            Err(source) => errors.push(RemovalError::Processes { lab: lab.clone(), source }),
        }
        targets.retain(|target| !stubborn.contains(&target.pid));
        if targets.is_empty() {
            break;
        }
        for target in targets.drain(..) {
            if let Err(source) = target.kill(KILL_DEADLINE) {
                stubborn.insert(target.pid);
                errors.push(RemovalError::Process { lab: lab.clone(), pid: target.pid, source });
            }
        }
    }
    errors
}

/// A writer that is being stopped may put a file into it meanwhile.
fn remove_directory(path: &Path) -> io::Result<()> {
    let mut outcome = Ok(());
    for _ in 0..3 {
        outcome = absent_is_fine(std::fs::remove_dir_all(path));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}
