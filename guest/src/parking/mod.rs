//! Where NICs wait: a network namespace of its own, bind-mounted so that it outlives the agent, in which nothing can
//! send, receive or configure them.
//!
//! A NIC that appears in the VM's root namespace, because the host plugged it or because its sandbox died, is moved here;
//! one that is lent ([`crate::lent_nic`]) stays.

mod lot;
mod mover;
mod valet;

pub use lot::{Parking, ParkingError};
pub use mover::MoveError;
pub use valet::FreeNics;
