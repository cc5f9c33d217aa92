//! Effects on the host: hypervisors, the fabric, the ledger. What to do is decided in `nestless-model`.

mod ebpf;
pub mod fabric;
pub mod guard;
pub mod host_ends;
pub mod hypervisor;
pub mod ledger;
pub mod loopback;
mod shaping;
pub mod vm;

pub use ebpf::EbpfError;
pub use shaping::ShapingError;
