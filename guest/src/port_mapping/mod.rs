//! Ports of the VM that lead to pods (hostPort).
//!
//! A pod's traffic does not pass the VM, so an answer would go its own way and be taken for a stranger's. The mapped
//! connections are therefore masqueraded: the pod answers to the VM, which passes it on. The price is that the pod sees the VM's
//! address instead of the client's.
//!
//! Everything stands in the nftables table `inet nestless` of the VM's root namespace, one pair of chains for each
//! attachment, changed in one transaction. Not mapped: 127.0.0.1 of the VM itself, which would need `route_localnet`.
//!
//! ```text
//! set, remove, retain (table.rs)
//!   |- commands for nft, and what is missing of them     ruleset.rs, wholeness.rs
//!   |- run                                                nft.rs
//!   '- connections that would go astray are forgotten     flows.rs
//! ```
//! Forwarding is the VM's to allow, and others may forbid it: obstacles.rs.

mod error;
mod flows;
mod nft;
mod obstacles;
mod ruleset;
mod table;
mod wholeness;

pub use error::{Complaint, PortMappingError};
pub use obstacles::obstacles;
pub use table::{check, damaged, remove, retain, set};
pub use wholeness::Mapped;
