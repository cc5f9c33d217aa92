//! The life of a VM's NICs: what is durable, what is known of the world, and which step comes next.
//!
//! ```text
//!            CreateHostEnd, Guard, Join        Plug            guest reports it
//!   Planned ---------------------------> TapReady --> Plugged ----------------> Visible --(Confirm)--> InUse
//!                                                        |                         |                     |
//!                                                        |   (no pod wants it yet) v                     | Detach
//!                                                        |                       Spare <--- Releasing <--+
//!                                                        |                         |        (guard closed)
//!                                                        +-----------+-------------+
//!                                                                    v
//!                                        Gone <------------ Unplugging ---(time-out)--> Quarantined
//! ```
//!
//! A phase is not stored. Durable is the *goal* of each NIC ([`Goal`]: serve a pod, be spare, be gone); the rest is what
//! was last seen or done ([`Nic`]), and [`Nic::next_step`] derives the step that leads from one to the other. The same
//! function serves a fresh attach, a repair, and the clean-up after a crash, because it never asks how a NIC came to be
//! as it is.
//!
//! [`VmNics`] is the whole of one VM. It is given everything that happens and returns an [`Outcome`]: changes that must be
//! durable first, steps to carry out, and requests that can be answered.

mod advance;
mod capacity;
mod nic;
mod observe;
mod purpose;
mod record;
mod request;
mod serve;
mod step;
mod turn;
mod vm_nics;
mod warm_pool;
mod world;

#[cfg(test)]
mod tests;

pub use capacity::Capacity;
pub use nic::{Nic, Phase};
pub use purpose::{Guarding, Purpose, Wish};
pub use record::{Attachment, Goal, NicRecord, PodRef};
pub use request::{Answer, AttachOrder, Granted, Refusal, Ticket};
pub use serve::{Admission, UnknownAttachment};
pub use step::{Step, StepFailure, StepOrder};
pub use vm_nics::{Change, Context, Limits, Outcome, VmNics};
pub use world::{PortSeen, VmEvent, VmState, World};
