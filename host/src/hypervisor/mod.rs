//! Whatever runs the VMs. Callers know no back end; a back end knows no pod.
//!
//! ```text
//! BackEnd (one a host) --connect--> Hypervisor (one a VM) + its events
//!                                        |
//!                                   VmHypervisor: the same without its type, as a VM's task has it
//! ```
//!
//! A NIC is made in three steps, each of which may be the last one before a crash:
//!
//! ```text
//! create_host_end -> (fabric: guard, bridge) -> plug
//! ```
//!
//! and taken away by [`Hypervisor::unplug`], which undoes whatever of them has happened.
//!
//! [`BackEnds`] alone knows which back ends there are. `docs/adding/back-end.md` says how one is added, and what every one
//! must pass.

mod alias;
mod back_end;
mod back_ends;
mod directory_watch;
mod error;
pub mod namespace;
mod observation;
pub mod qemu;
mod unreachable;
mod vm_hypervisor;

pub use alias::{link_alias, vm_of_link};
pub use back_end::{BackEnd, Connected, Hypervisor, Kind, NicSpec};
pub use back_ends::{BackEnds, HypervisorConfig};
pub use error::HypervisorError;
pub use observation::{HypervisorEvent, Observation};
pub use unreachable::unreachable;
pub use vm_hypervisor::VmHypervisor;
