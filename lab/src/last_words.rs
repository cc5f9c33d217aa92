//! What a lab that was not built leaves to read: why, in the words of who failed, and where those are kept.

use crate::{
    daemon::DaemonError,
    error::LabError,
    log::Log,
    names::{LabName, absent_is_fine},
    state::{LabState, VmRecord},
    vm::Vm,
};
use std::{io, os::unix::fs::DirBuilderExt as _, path::PathBuf, time::Duration};

/// A VM that dies takes its NIC along a moment before its end can be seen.
const DYING: Duration = Duration::from_millis(200);

/// Why a lab could not be built, before it is removed: that a VM has died explains whatever failed afterwards. `keep`: its
/// logs outlive it.
pub(crate) fn explained(state: &LabState, error: LabError, keep: bool) -> LabError {
    let own = matches!(error, LabError::Ended { .. } | LabError::Timeout { .. });
    let is_dead = |vm: &&VmRecord| match &error {
        // One that ended at once was never recorded.
        LabError::Start { vm: name, .. } => vm.name == *name,
        _ => vm.process.is_some_and(|process| process.wait(DYING).is_ok()),
    };
    let dead = state.vms.iter().filter(|_| !own).find(is_dead).map(|vm| Vm::new(&state.name, state.vmm, vm));
    // One that could not even be started has said nothing.
    let said = |ended: &LabError| matches!(ended, LabError::Ended { tail, .. } if !tail.is_empty());
    let error = dead.map(|vm| vm.ended()).filter(said).unwrap_or(error);
    let logs = keep.then(|| match keep_logs(&state.name) {
        Ok(logs) => Some(logs),
        Err(failure) => {
            tracing::warn!(error = &failure as &dyn std::error::Error, "the lab's logs are not kept");
            None
        }
    });
    let logs = logs.flatten();
    let moved = |Log(path): Log| {
        let within = path.as_deref().and_then(|path| path.strip_prefix(state.name.dir()).ok());
        Log(within.and_then(|within| Some(logs.as_ref()?.join(within))))
    };
    match error {
        LabError::Ended { vm, log, tail } => LabError::Ended { vm, log: moved(log), tail },
        LabError::Timeout { vm, waited, log, tail } => {
            LabError::Timeout { vm, waited, log: moved(log), tail }
        }
        LabError::Daemon(DaemonError::Ended { status, log, tail }) => {
            LabError::Daemon(DaemonError::Ended { status, log: moved(log), tail })
        }
        LabError::Daemon(DaemonError::Timeout { log, tail }) => {
            LabError::Daemon(DaemonError::Timeout { log: moved(log), tail })
        }
        other => other,
    }
}

/// Copies every log of the lab, in the place of those of an earlier one of its name. Root alone may read them.
fn keep_logs(lab: &LabName) -> io::Result<PathBuf> {
    let kept = lab.kept_logs();
    absent_is_fine(std::fs::remove_dir_all(&kept))?;
    let mut folders = std::fs::DirBuilder::new();
    folders.recursive(true).mode(0o700);
    for folder in [PathBuf::new()].into_iter().chain(vm_folders(lab)?) {
        for entry in std::fs::read_dir(lab.dir().join(&folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") && path.is_file() {
                let to = kept.join(&folder);
                folders.create(&to)?;
                std::fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
            }
        }
    }
    Ok(kept)
}

fn vm_folders(lab: &LabName) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(lab.dir())?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries
        .into_iter()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into())
        .collect())
}
