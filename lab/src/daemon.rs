//! The lab's nestlessd: its configuration, its start, and the moment it says that it is ready.

use crate::{
    image::ProgramError,
    log::Log,
    names::LabName,
    process::{self, Lifetime, ProcessRecord},
    readiness::Readiness,
    state::{LabState, Vmm},
};
use nestless_model::{
    identity::{LinkName, NetworkName, VmName},
    network::Network,
};
use nestless_support::netns::Namespace;
use serde::Serialize;
use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, Command};

/// Its log, in the lab's directory.
pub(crate) const LOG: &str = "nestlessd.log";
/// A first reconcile waits for no VM, so it is soon done.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// What kept nestlessd from running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// This handle did not start one, and so does not know how.
    #[error("the lab's nestlessd was not started by this process")]
    NotOurs,
    /// Not built.
    #[error("find the host daemon")]
    Program(#[from] ProgramError),
    /// Its configuration could not be written.
    #[error("write {path}")]
    Config {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be started.
    #[error("start nestlessd")]
    Start(#[source] io::Error),
    /// It ended before it was ready.
    #[error("nestlessd ended ({status}) before it was ready; its last words{log}:\n{tail}")]
    Ended {
        /// How.
        status: std::process::ExitStatus,
        /// Its log.
        log: Log,
        /// The log's last lines.
        tail: String,
    },
    /// It did not get ready.
    #[error("nestlessd was not ready after {READY_TIMEOUT:?}; its last words{log}:\n{tail}")]
    Timeout {
        /// Its log.
        log: Log,
        /// The log's last lines.
        tail: String,
    },
}

/// Keeps the eBPF pins of several daemons on one kernel apart.
pub(crate) fn instance(lab: &LabName) -> String {
    format!("lab-{lab}")
}

/// The operator's socket of a lab's daemon.
pub(crate) fn operator_socket(lab: &LabName) -> PathBuf {
    lab.dir().join("run/nestlessd.sock")
}

/// All VMs of a lab are one tenant's.
const TENANT: &str = "lab";

/// What the daemon is told besides the topology.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) networks: Vec<Network>,
    pub(crate) warm_pool: u32,
    pub(crate) nic_limit: u32,
    pub(crate) environment: Vec<(String, String)>,
}

/// What it takes to start the daemon once more.
#[derive(Clone, Debug)]
pub(crate) struct Restart {
    pub(crate) program: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) lifetime: Lifetime,
}

#[derive(Serialize)]
struct Config<'a> {
    state_dir: PathBuf,
    run_dir: PathBuf,
    pin_dir: PathBuf,
    host_id: u16,
    network: &'a [Network],
    vm: Vec<Vm<'a>>,
}

#[derive(Serialize)]
struct Vm<'a> {
    name: &'a VmName,
    hypervisor: Hypervisor,
    channel: Channel,
    default_network: Option<&'a NetworkName>,
    warm_pool: u32,
    nic_limit: u32,
    tenant: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Hypervisor {
    Qemu { qmp: PathBuf },
    Namespace { path: PathBuf },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Channel {
    Serial(PathBuf),
    Unix(PathBuf),
}

/// The configuration of the lab's daemon.
pub(crate) fn configuration(state: &LabState, settings: &Settings) -> String {
    let lab = &state.name;
    let vms = state.vms.iter().map(|vm| {
        let dir = lab.vm_dir(&vm.name);
        let channel = dir.join("channel.sock");
        let (hypervisor, channel) = match state.vmm {
            Vmm::Qemu => (Hypervisor::Qemu { qmp: dir.join("qmp.sock") }, Channel::Serial(channel)),
            Vmm::Namespace => {
                (Hypervisor::Namespace { path: lab.vm_namespace(&vm.name) }, Channel::Unix(channel))
            }
        };
        let default_network = settings.networks.first().map(|network| &network.name);
        let Settings { warm_pool, nic_limit, .. } = *settings;
        Vm { name: &vm.name, hypervisor, channel, default_network, warm_pool, nic_limit, tenant: TENANT }
    });
    let config = Config {
        state_dir: lab.dir().join("state"),
        run_dir: lab.dir().join("run"),
        pin_dir: Path::new("/sys/fs/bpf/nestless").join(instance(lab)),
        host_id: 1,
        network: &settings.networks,
        vm: vms.collect(),
    };
    toml::to_string(&config).expect("names, numbers and UTF-8 paths are TOML")
}

/// Writes the configuration, starts the daemon inside the lab's host, and waits until it is ready.
pub(crate) async fn start(
    state: &LabState,
    settings: &Settings,
    program: &Path,
    host: &Namespace,
    lifetime: Lifetime,
) -> Result<(Child, ProcessRecord), DaemonError> {
    let dir = state.name.dir();
    let config = dir.join("nestlessd.toml");
    for (path, written) in [
        (dir.join("state"), std::fs::create_dir_all(dir.join("state"))),
        (dir.join("run"), std::fs::create_dir_all(dir.join("run"))),
        (config.clone(), std::fs::write(&config, configuration(state, settings))),
    ] {
        written.map_err(|source| DaemonError::Config { path, source })?;
    }
    let readiness = Readiness::listen(dir.join("notify.sock")).map_err(DaemonError::Start)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&config).stdin(Stdio::null());
    readiness.of(&mut command);
    command.envs(settings.environment.iter().map(|(k, v)| (k, v)));
    let log = dir.join(LOG);
    let (mut child, record) =
        process::start(command, host, lifetime, Vec::new(), &log).map_err(DaemonError::Start)?;
    tokio::select! {
        ready = tokio::time::timeout(READY_TIMEOUT, readiness.told()) => match ready {
            Ok(outcome) => outcome.map_err(DaemonError::Start)?,
            Err(_) => return Err(DaemonError::Timeout { tail: tail(&log), log: Log(Some(log)) }),
        },
        status = child.wait() => {
            let status = status.map_err(DaemonError::Start)?;
            return Err(DaemonError::Ended { status, tail: tail(&log), log: Log(Some(log)) });
        }
    }
    Ok((child, record))
}

/// The last lines of a log, for an error.
pub(crate) fn tail(log: &Path) -> String {
    let content = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// The bridge's name in every lab.
pub(crate) fn bridge_name() -> LinkName {
    LinkName::new("nestless0").expect("nine letters and digits are a link name")
}
