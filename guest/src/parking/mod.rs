//! Where NICs wait: a network namespace of its own, bind-mounted so that it outlives the agent, in which nothing can
//! send, receive or configure them.
//!
//! A NIC that appears in the VM's root namespace, because the host plugged it or because its sandbox died, is moved here;
//! one that is lent ([`crate::lent_nic`]) stays.
//!
//! Whoever has had a NIC may have done anything to it: programs, switches, names, limits, of which every kernel has more
//! than we know. Nobody else gets that link. The NIC's driver lets go of its device and takes it again, and the link that
//! then appears is a new one ([`renewal`]); a NIC that cannot be made anew so is told to the host, which unplugs it. What was
//! done with which NIC is noted on disk ([`past`]).

mod lot;
mod mover;
mod past;
mod renewal;
mod valet;
mod waiting;

pub use lot::{Parking, ParkingError, TakeError};
pub use mover::MoveError;
pub use waiting::Waiting;
