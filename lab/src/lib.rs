//! Labs: topologies of hosts, VMs and pods, built on this machine to test, demonstrate and measure.
//!
//! A lab's host is a network namespace; its VMs run in QEMU, or are namespaces too. Everything a lab has is found again
//! by the lab's name ([`names`](LabName)), so it can be removed after any crash.

mod builder;
mod cache;
mod cni;
mod construction;
mod daemon;
mod error;
pub mod guest;
pub mod image;
mod lab;
mod last_words;
mod log;
mod names;
mod neighbour;
mod own_nic;
mod pod;
mod process;
mod progress;
mod qemu;
mod readiness;
mod remains;
mod removal;
mod server;
mod state;
mod vm;
mod ways;

pub use builder::LabBuilder;
pub use cache::{Cache, CacheError};
pub use daemon::DaemonError;
pub use error::LabError;
pub use guest::{Exec, ExecError, Exit, GuestClient, GuestError, Measured, Output, Piece};
pub use lab::{Lab, Listed, list};
pub use log::Log;
pub use names::{HOST, LabName, LabNameError};
pub use neighbour::Neighbour;
pub use pod::{Fraction, Pod, PodNetwork, PodOptions};
pub use process::ProcessRecord;
pub use progress::Progress;
pub use qemu::Accelerator;
pub use readiness::Readiness;
pub use remains::remains;
pub use removal::{RemovalError, remove, remove_all};
pub use server::{ServeError, Server, Serving};
pub use state::{LabState, StateError, VmRecord, Vmm};
pub use vm::Vm;
pub use ways::{Container, UnknownWay, Way, WayEnds};

/// What a container runtime in a lab's VM is told about our plugin.
pub const CNI_CONFIG: &str = r#"{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [{ "type": "nestless-cni", "network": "pods", "agentSocket": "/run/nestless/agent.sock" }]
}
"#;
