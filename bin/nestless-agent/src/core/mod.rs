//! What the agent does, whoever asks for it: NICs of the host's come to their homes and go back. It speaks no front's
//! language; [`crate::front`] has those.
//!
//! An attachment's way, file by file, for a CNI ADD:
//!
//! ```text
//! front/cni/socket.rs     the plugin's call, and the sandbox's descriptor beside it
//! front/cni/call.rs       read as a request; its sandbox is one that a pod may have
//! front/cni/add.rs        made into an AttachRequest
//! core/attach.rs          alone with the container; nothing is there yet; noted as `Attaching`
//! host_client/calls.rs      the host is asked, and offers a NIC
//! core/set_up.rs            noted; waited for; set up at home (nestless_guest); ports mapped; noted as `InUse`
//! core/attach.rs          confirmed to the host, beside the way
//! front/cni/add.rs        told as a CNI result, after those of the plugins before
//! front/cni/socket.rs     answered
//! ```
//! What fails on the way goes back by `core/release.rs`, the one way out, which DEL and GC take too. `core/watch.rs` and
//! `core/ports.rs` are what happens without a call, `core/reconcile.rs` what an agent does that starts or is connected anew,
//! `core/ended.rs` what it makes up for when DEL came while none ran.

mod agent;
mod attach;
mod attachments;
mod check;
mod ended;
mod error;
mod ports;
mod reconcile;
mod release;
mod request;
mod set_up;
mod watch;

#[cfg(test)]
mod tests;

pub(crate) use agent::Agent;
pub(crate) use attachments::Record;
pub(crate) use error::{AttachError, CheckError, IncompleteError, NotReady, ReleaseError};
pub(crate) use request::{AttachRequest, Attached, DetachRequest};
