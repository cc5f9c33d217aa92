//! One task per VM. It alone changes the VM's NICs; everyone else asks it through a [`VmHandle`].
//!
//! ```text
//!   guest, operator --(Message)--> +--------+ --(changes)--> ledger          first
//!   hypervisor -----(events)-----> |  task  | --(steps)----> carried out     then, at the same time
//!   steps, observations ---------> +--------+ --(answers)--> whoever asked   then
//! ```
//!
//! What follows from an input is decided by [`nestless_model::attachment::VmNics`]; the task looks at the hypervisor and
//! at the links again and again, because memory is only a cache.

mod message;
mod ports;
mod shared;
mod steps;
mod task;

pub use message::{AttachRequest, RequestError, ReserveRequest, Snapshot, VmHandle};
pub use ports::{HostEndSeen, PortError, Ports};
pub use shared::{Shared, SubnetUse};
pub use task::{VmConfig, spawn};

#[cfg(test)]
mod tests;
