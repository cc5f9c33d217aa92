//! The machine and the sources that a figure belongs to.

use nestless_lab::{Lab, Vmm};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fs, process::Command};

/// Where a bench ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// As the processor calls itself.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Release of the host's kernel.
    pub kernel: String,
    /// "qemu", "namespace"
    pub vmm: String,
    /// QEMU's version; empty for namespace VMs.
    pub qemu: String,
    /// "kvm", "tcg"; empty for namespace VMs.
    pub accelerator: String,
    /// Processes that wanted a processor in the minute before the start: what else was running.
    pub load_before: f64,
}

/// The sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// Git commit of the tree that the program was built in, asked when the bench runs; empty elsewhere.
    pub commit: String,
    /// With changes that are not committed.
    pub changed: bool,
}

impl Machine {
    /// Looks at this machine, and at what runs the lab's VMs.
    pub fn look(lab: &Lab) -> Self {
        let vmm = lab.state().vmm;
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = read("/proc/loadavg");
        let (qemu, accelerator) = match vmm {
            Vmm::Qemu => (qemu_version(), accelerator(lab)),
            Vmm::Namespace => Default::default(),
        };
        Self {
            cpu: model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            vmm: vmm.to_string(),
            qemu,
            accelerator,
            load_before: load.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default(),
        }
    }
}

/// As QEMU was told: "q35,accel=tcg".
fn accelerator(lab: &Lab) -> String {
    let process = lab.vms().iter().find_map(|vm| vm.process());
    let line = process
        .and_then(|process| fs::read(format!("/proc/{}/cmdline", process.pid)).ok())
        .unwrap_or_default();
    let words = String::from_utf8_lossy(&line).into_owned();
    let told = words.split(['\0', ',']).find_map(|word| word.strip_prefix("accel="));
    told.unwrap_or_default().to_owned()
}

/// "QEMU emulator version 10.0.2 (Debian ...)"
fn qemu_version() -> String {
    let told = first_line("qemu-system-x86_64", &["--version"]).unwrap_or_default();
    told.split_whitespace().nth(3).unwrap_or_default().to_owned()
}

impl Revision {
    /// Asks git.
    pub fn look() -> Self {
        let tree = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let Some(commit) = first_line("git", &["-C", tree, "rev-parse", "HEAD"]) else {
            return Self::default();
        };
        let changed = first_line("git", &["-C", tree, "status", "--porcelain", "--untracked-files=no"]);
        Self { commit, changed: changed.is_some_and(|line| !line.is_empty()) }
    }
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}
