//! A VM that runs in QEMU, changed over QMP.
//!
//! ```text
//! create_host_end: TAP
//! plug:            getfd per queue -> netdev_add (takes the descriptors) -> device_add on a free slot
//! unplug:          device_del -> wait for DEVICE_DELETED -> netdev_del -> closefd of what a crash left
//! ```
//!
//! The TAP is not persistent, and after `plug` QEMU alone holds it: it vanishes with `netdev_del`, or with QEMU. Deleting it
//! earlier would abort QEMU. All names follow from the NIC's id, so every step can be repeated and undone after a crash.
//!
//! Each VM has a QMP socket of its own, so that VMs share nothing.

mod back_end;
mod command;
mod config;
mod machine;
mod plug;
mod session;
mod slots;
mod unplug;
mod vm;

#[cfg(test)]
mod tests;

pub use back_end::QemuBackEnd;
pub use config::{QemuConfig, VectorLimits};
pub use vm::{Qemu, Tap};
