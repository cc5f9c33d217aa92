//! A lab that is up.

use crate::{
    daemon::{self, DaemonError, Restart},
    error::LabError,
    guest::{Exec, Output},
    names::{self, LabName},
    own_nic,
    process::{self, ProcessRecord},
    removal::{self, RemovalError},
    state::LabState,
    vm::Vm,
};
use nestless_model::identity::Mac;
use nestless_support::netns::Namespace;
use nix::fcntl::Flock;
use std::{fs::File, path::PathBuf, process::Stdio, time::Duration};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

/// SIGKILL is not negotiable; the machine may be busy.
const KILL_DEADLINE: Duration = Duration::from_secs(20);

/// A host, its VMs, and their pods. One that [`LabBuilder::up`] made is removed on drop, which blocks for a moment;
/// [`Lab::down`] does the same without blocking, and tells what went wrong.
///
/// [`LabBuilder::up`]: crate::LabBuilder::up
#[derive(Debug)]
pub struct Lab {
    pub(crate) state: LabState,
    pub(crate) host: Namespace,
    pub(crate) vms: Vec<Vm>,
    /// Kept to be reaped.
    pub(crate) children: Vec<Child>,
    pub(crate) daemon: Option<Restart>,
    pub(crate) ownership: Option<Ownership>,
}

/// Held while the lab is to go with this value.
#[derive(Debug)]
pub(crate) struct Ownership {
    lab: LabName,
    /// None once the lab is left to itself.
    lock: Option<Flock<File>>,
}

impl Drop for Ownership {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        for error in removal::remove_held(&self.lab) {
            tracing::error!(lab = %self.lab, error = &error as &dyn std::error::Error, "the lab is not wholly removed");
        }
    }
}

impl Ownership {
    /// Takes a name that no lab has. What is made under it from now on goes with this value.
    pub(crate) fn take(lab: &LabName) -> Result<Self, LabError> {
        let failed = |source| LabError::Files { operation: "lock", path: lab.lock_file(), source };
        let Some(lock) = lab.lock().map_err(failed)? else {
            return Err(LabError::Exists { lab: lab.clone() });
        };
        if lab.dir().exists() || lab.host_namespace().exists() {
            lab.remove_lock().map_err(failed)?;
            return Err(LabError::Exists { lab: lab.clone() });
        }
        Ok(Self { lab: lab.clone(), lock: Some(lock) })
    }

    /// Leaves the lab to itself.
    pub(crate) fn release(mut self) -> Result<(), LabError> {
        let path = self.lab.lock_file();
        self.lab.remove_lock().map_err(|source| LabError::Files { operation: "unlock", path, source })?;
        self.lock = None;
        Ok(())
    }
}

impl Lab {
    /// A lab that [`LabBuilder::up_detached`] made. Dropping it changes nothing.
    ///
    /// [`LabBuilder::up_detached`]: crate::LabBuilder::up_detached
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn open(name: &LabName) -> Result<Self, LabError> {
        let state = LabState::read(name)?.ok_or_else(|| LabError::NoLab { lab: name.clone() })?;
        let host = Namespace::open(name.host_namespace())?;
        let vms = state.vms.iter().map(|vm| Vm::new(name, state.vmm, vm)).collect();
        Ok(Self { state, host, vms, children: Vec::new(), daemon: None, ownership: None })
    }

    /// Its name.
    pub fn name(&self) -> &LabName {
        &self.state.name
    }

    /// What it is made of.
    pub fn state(&self) -> &LabState {
        &self.state
    }

    /// Its directory, with the logs.
    pub fn dir(&self) -> PathBuf {
        self.state.name.dir()
    }

    /// The network namespace that plays the host.
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// What nestlessd has logged.
    pub fn daemon_log(&self) -> PathBuf {
        self.dir().join(daemon::LOG)
    }

    /// Where nestlessd serves its operator.
    pub fn operator_socket(&self) -> PathBuf {
        crate::daemon::operator_socket(&self.state.name)
    }

    /// Its VMs.
    pub fn vms(&self) -> &[Vm] {
        &self.vms
    }

    /// One of them.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn vm(&self, name: &str) -> Result<&Vm, LabError> {
        self.vms.iter().find(|vm| vm.name().as_str() == name).ok_or_else(|| LabError::NoVm {
            lab: self.state.name.clone(),
            vm: name.to_owned(),
            known: self.vms.iter().map(|vm| vm.name().as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The address by which the second NIC of a VM is found in it ([`LabBuilder::second_nic`]).
    ///
    /// [`LabBuilder::second_nic`]: crate::LabBuilder::second_nic
    ///
    /// # Errors
    /// When there is no VM of that name.
    pub fn second_mac(&self, vm: &str) -> Result<Mac, LabError> {
        let vm = self.vm(vm)?.name().clone();
        let number = self.state.vms.iter().position(|state| state.name == vm).unwrap_or_default();
        Ok(own_nic::second_mac(number))
    }

    /// Runs a program in a VM, to its end.
    ///
    /// # Errors
    /// When it cannot be started. A program that fails is no error: see [`Output::success`].
    pub async fn exec(&self, vm: &str, exec: &Exec) -> Result<Output, LabError> {
        Ok(self.vm(vm)?.exec(exec).await?)
    }

    /// Runs a program of this machine on the lab's host, to its end. Dropping the future kills it.
    ///
    /// # Errors
    /// When it cannot be started. A program that fails is no error.
    pub async fn host_exec(&self, exec: &Exec) -> Result<Output, LabError> {
        run_to_end(self.host_command(exec), exec).await
    }

    /// A program of this machine, to be started on the lab's host by the caller. It dies with the caller's handle.
    pub fn host_command(&self, exec: &Exec) -> Command {
        let mut command = process::command(exec);
        process::enter(&mut command, &self.host);
        command
    }

    /// nestlessd, if the lab has it.
    pub fn daemon(&self) -> Option<ProcessRecord> {
        self.state.daemon
    }

    /// Kills nestlessd with SIGKILL, and waits for its end. The rest of the lab stays.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn kill_daemon(&mut self) -> Result<(), LabError> {
        let Some(record) = self.state.daemon.take() else { return Ok(()) };
        let killed = tokio::task::spawn_blocking(move || record.kill(KILL_DEADLINE));
        let killed = killed.await.map_err(|_| LabError::Panicked { task: "the killing of nestlessd" })?;
        killed.map_err(|source| LabError::Daemon(DaemonError::Start(source)))?;
        self.reap(record).await;
        Ok(())
    }

    /// Waits until nestlessd has ended by itself.
    ///
    /// # Errors
    /// When it lives longer than `deadline`.
    pub async fn daemon_ended(&mut self, deadline: Duration) -> Result<(), LabError> {
        let Some(record) = self.state.daemon else { return Ok(()) };
        let waited = tokio::task::spawn_blocking(move || record.wait(deadline));
        let waited = waited.await.map_err(|_| LabError::Panicked { task: "the wait for nestlessd" })?;
        waited.map_err(|source| LabError::Daemon(DaemonError::Start(source)))?;
        self.state.daemon = None;
        self.reap(record).await;
        Ok(())
    }

    /// Starts nestlessd, with further variables for this run only, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready, or this lab was built by another process.
    pub async fn start_daemon(&mut self, environment: &[(&str, &str)]) -> Result<(), LabError> {
        let Restart { program, mut settings, lifetime } = self.daemon.clone().ok_or(DaemonError::NotOurs)?;
        let further = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        settings.environment.extend(further);
        let (child, record) = daemon::start(&self.state, &settings, &program, &self.host, lifetime).await?;
        self.state.daemon = Some(record);
        self.children.push(child);
        Ok(self.state.write()?)
    }

    async fn reap(&mut self, record: ProcessRecord) {
        for child in self.children.iter_mut().filter(|child| child.id() == Some(record.pid)) {
            if let Err(error) = child.wait().await {
                tracing::warn!(%error, "reap nestlessd");
            }
        }
    }

    /// Removes it, with all that is in it.
    ///
    /// # Errors
    /// All that could not be removed.
    pub async fn down(mut self) -> Result<(), LabError> {
        let lab = self.state.name.clone();
        let ownership = self.ownership.take();
        let owned = ownership.is_some();
        let removing = tokio::task::spawn_blocking(move || {
            let errors = if owned {
                removal::remove_held(&lab)
            } else {
                removal::remove(&lab).err().unwrap_or_default()
            };
            // It finds nothing any more.
            drop(ownership);
            errors
        });
        let errors: Vec<RemovalError> =
            removing.await.map_err(|_| LabError::Panicked { task: "the lab's removal" })?;
        for child in &mut self.children {
            if let Err(error) = child.wait().await {
                tracing::warn!(%error, "reap a process of the lab's");
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(LabError::Removal(errors)) }
    }
}

/// Runs what `command` was made of, to its end.
pub(crate) async fn run_to_end(mut command: Command, exec: &Exec) -> Result<Output, LabError> {
    let failed = |source| LabError::HostExec { command: exec.line(), source };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut stdin = child.stdin.take();
    let input = exec.input().to_vec();
    let feed = async move {
        if let Some(stdin) = &mut stdin {
            // A program need not read what it is given.
            let _ = stdin.write_all(&input).await;
        }
        drop(stdin);
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    let output = output.map_err(failed)?;
    Ok(Output { exit: output.status.into(), stdout: output.stdout, stderr: output.stderr })
}

/// A line of `nestless lab ls`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Listed {
    /// The lab; `None` where only remains are found.
    #[serde(flatten)]
    pub state: Option<LabState>,
    /// Its name.
    pub lab: LabName,
    /// "running", "building", "broken": a process that should be there is not, or it was never finished.
    pub condition: &'static str,
    /// What is not there of one that is broken, in words.
    pub missing: Vec<String>,
}

/// Every lab of this machine, and the remains of crashed ones.
///
/// # Errors
/// When a directory cannot be read.
pub fn list() -> Result<Vec<Listed>, LabError> {
    let failed = |source| LabError::Files { operation: "list", path: names::LABS.into(), source };
    let mut labs = Vec::new();
    for lab in names::all().map_err(failed)? {
        let state = LabState::read(&lab).unwrap_or_default();
        let missing = state.as_ref().map_or_else(|| vec!["its state".to_owned()], missing);
        let ready = state.as_ref().is_some_and(|state| state.ready);
        let (condition, missing) = match (ready, missing.is_empty()) {
            (true, true) => ("running", missing),
            (false, _) if is_held(&lab).map_err(failed)? => ("building", Vec::new()),
            (true, false) => ("broken", missing),
            (false, _) => ("broken", vec!["it was never finished".to_owned()]),
        };
        labs.push(Listed { state, lab, condition, missing });
    }
    Ok(labs)
}

/// What should run of a lab and does not.
fn missing(state: &LabState) -> Vec<String> {
    let dead = |process: Option<ProcessRecord>| !process.is_some_and(ProcessRecord::is_alive);
    let vms = state.vms.iter().filter(|vm| dead(vm.process)).map(|vm| format!("{} has ended", vm.name));
    let daemon = state.daemon.filter(|daemon| dead(Some(*daemon))).map(|_| "nestlessd has ended".to_owned());
    daemon.into_iter().chain(vms).collect()
}

fn is_held(lab: &LabName) -> std::io::Result<bool> {
    if !lab.lock_file().exists() {
        return Ok(false);
    }
    Ok(File::open(lab.lock_file())
        .is_ok_and(|file| Flock::lock(file, nix::fcntl::FlockArg::LockSharedNonblock).is_err()))
}
