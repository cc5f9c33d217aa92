//! What knows no VM and no pod: the kernel's and the hypervisor's interfaces, and a few mechanisms.

pub mod bus_device;
pub mod clsact;
pub mod conntrack;
pub mod crash_point;
pub mod error_chain;
pub mod former_settings;
pub mod hook;
pub mod netlink;
pub mod netns;
pub mod qmp;
pub mod rules_monitor;
pub mod serial_link;
pub mod sysctl;
pub mod tap;
pub mod telemetry;
pub mod token_bucket;
pub mod undo;
pub mod visible;
