//! Ports of the VM that lead to pods (hostPort).
//!
//! A pod's traffic does not pass the VM, so an answer would go its own way and be taken for a stranger's. The mapped
//! connections are therefore masqueraded: the pod answers to the VM, which passes it on.
//!
//! Everything stands in the nftables table `inet nestless` of the VM's root namespace, one pair of chains for each
//! attachment, changed in one transaction. Not mapped: 127.0.0.1 of the VM itself, which would need `route_localnet`.

mod error;
mod nft;
mod ruleset;
mod table;

pub use error::{Complaint, PortMappingError};
pub use table::{remove, retain, set};
