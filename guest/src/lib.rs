//! Effects inside a VM: NICs that wait, NICs that pods have, NICs that are lent, ports that lead to pods, sandboxes that
//! vanish.
//!
//! ```text
//! root namespace --(a NIC of ours appears)--> parking namespace --configure--> sandbox
//!        ^                                      ^  | ^-------withdraw-----------'  |
//!        |--------------------take_back---------'  |                               |
//!        |<---------------------lend---------------'                               |
//!        '-----------------(the sandbox dies: the kernel puts its NICs here)-------'
//! ```

pub mod announce;
pub mod families;
pub mod home;
pub mod identify;
pub mod lent_nic;
pub mod loopback_endpoint;
pub mod parking;
pub mod pod_nic;
pub mod port_mapping;
pub mod sandbox_watch;
