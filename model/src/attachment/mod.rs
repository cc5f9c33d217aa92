//! The life of a VM's NICs: what is durable, what is known of the world, and which step comes next.
//!
//! ```text
//!            CreateHostEnd, Guard, Enslave     Plug            guest reports it
//!   Planned ---------------------------> TapReady --> Plugged ----------------> Visible --(Confirm)--> InUse
//!                                                        |                         |                     |
//!                                                        |   (no pod wants it yet) v                     | Detach
//!                                                        |                       Spare <--- Releasing <--+
//!                                                        |                         |        (guard closed, and the guest
//!                                                        |                         |         says that it waits again)
//!                                                        +-----------+-------------+
//!                                                                    v
//!                                        Gone <------------ Unplugging ---(time-out)--> Quarantined
//! ```
//!
//! A phase is not stored. Durable is the *goal* of each NIC ([`Goal`]: serve a pod, be spare, be gone) and its *purpose*
//! ([`Purpose`]); the rest is what was last seen or done ([`Nic`]). `Nic::next_step` derives the step that leads from one to
//! the other. The same function serves a fresh attach, a repair, and the clean-up after a crash, because it never asks how
//! a NIC came to be as it is.
//!
//! So a NIC's life is a wheel. Whatever is put in changes the goal, or what is known, and ends in `advance`; each step that
//! ends turns it once more, until nothing is left to do:
//!
//! ```text
//!   attach, detach, confirm, hello, reported   (serve)  --+
//!   observed, happened                       (observe)  --+--> advance: answer whoever can be answered,
//!   tick                                        (turn)  --+      |      ask Nic::next_step
//!                                                         |      v
//!   step_ended                                  (turn)  --+   StepOrder, carried out by whoever called
//!     ^                                                          |
//!     +-------------------------- its result --------------------+
//! ```
//!
//! [`VmNics`] is the whole of one VM. It is given everything that happens and returns an [`Outcome`]: changes that must be
//! durable first, steps to carry out, and requests that can be answered.

mod advance;
mod capacity;
mod change;
mod nic;
mod observe;
mod purpose;
mod record;
mod request;
mod reserve;
mod serve;
mod step;
mod turn;
mod vm_nics;
mod warm_pool;
mod world;

#[cfg(test)]
mod tests;

pub use capacity::Capacity;
pub use change::Change;
pub use nic::{Nic, Phase};
pub use purpose::{Guarding, Purpose, Wish};
pub use record::{Attachment, Goal, NicRecord, PodRef, Reservation};
pub use request::{Answer, AttachOrder, AttachRefusal, Granted, Ticket};
pub use serve::{Admission, UnknownAttachment};
pub use step::{Step, StepFailure, StepOrder};
pub use vm_nics::{Context, Limits, Outcome, Remembered, VmNics};
pub use world::{HostEndState, VmEvent, VmState, World};
