//! Who holds which address: one [`Claims`] per network, shared by all VMs of a host.
//!
//! An address is taken for a NIC, and rests when nobody can use it any more; or it is *reserved*: a VM keeps it before there
//! is a NIC and after, until it says that it has no more use for it.
//!
//! Nothing here is durable. The ledger is: it holds the addresses of every NIC, those that are reserved and those that cool
//! down, and [`Claims`] is rebuilt from it at start.

mod claims;
mod error;
mod pool;
mod requested;
mod resting;
mod text;
mod wish;

pub use claims::Claims;
pub use error::ClaimError;
pub use pool::{Pool, PoolUse};
pub use requested::{RequestedAddress, TooManyAddresses, check_requested};
pub use text::{AddressTextError, parse_address, parse_prefix, read};
pub use wish::{AddressRequest, Family, ReservationWish};

#[cfg(test)]
mod tests;
