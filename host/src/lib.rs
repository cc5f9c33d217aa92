//! Effects on the host: hypervisors, the fabric, the ledger. What to do is decided in `nestless-model`.

pub mod fabric;
pub mod guard;
pub mod hypervisor;
pub mod ledger;
pub mod loopback;
mod pins;
pub mod ports;
pub mod vm;

pub use pins::PinError;
