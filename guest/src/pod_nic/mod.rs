//! A NIC in a sandbox: brought there and configured, looked at, taken back.
//!
//! ```text
//! parking --move+rename--> sandbox --MAC, MTU--> up --addresses, routes--> announced
//!    ^________________________|______________________|   (a failure takes it back)
//! ```
//! Addresses and routes belong to the NIC, so taking it back is the inverse of every step at once, but for the rules of a
//! second NIC ([`routing`]), which are deleted first.

mod configure;
mod device;
mod error;
mod inspect;
mod nic;
mod routing;

pub use configure::{Configured, configure, withdraw};
pub use device::{Device, device};
pub use error::PodNicError;
pub use inspect::{Observed, inspect};
pub use nic::{PodNic, PodRoute, SandboxRoute};
