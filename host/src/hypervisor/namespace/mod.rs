//! A network namespace that plays a VM: its NICs are veths, whose other ends are the host's.
//!
//! ```text
//! create_host_end: veth pair; the other end waits in a namespace without a name, which lives as long as the WaitingVeth
//! plug:            the other end moves on into the VM's namespace
//! unplug:          the host end is deleted, and the other with it
//! ```
//!
//! The host end is marked by its alias with the VM and the NIC, so that it is found again after a restart.

mod back_end;
mod config;
mod vm;
mod watch;

pub use back_end::NamespaceBackEnd;
pub use config::NamespaceConfig;
pub use vm::{NamespaceVm, WaitingVeth};
