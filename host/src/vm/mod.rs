//! One task per VM. It alone changes the VM's NICs; everyone else asks it through a [`VmHandle`].
//!
//! ```text
//!   guest, operator --(Message)--> +--------+ --(changes)--> ledger          first
//!   hypervisor -----(events)-----> |  task  | --(steps)----> carried out     then, at the same time
//!   steps, observations ---------> +--------+ --(answers)--> whoever asked   then
//! ```
//!
//! What follows from an input is decided by [`nestless_model::attachment::VmNics`]; the task looks at the hypervisor and
//! at the host ends again and again, because memory is only a cache. How one thing leads to the next is told in `wheel.rs`.

mod executor;
mod host_ends;
mod looks;
mod message;
mod observation;
mod pools;
mod requests;
mod task;
mod waiting;
mod wheel;

pub use host_ends::{HostEndError, HostEndSeen, HostEnds};
pub use message::{AttachRequest, Reported, RequestError, ReserveRequest, Snapshot, VmHandle};
pub use pools::{Pools, SubnetUse};
pub use task::{VmConfig, spawn};

#[cfg(test)]
mod tests;
