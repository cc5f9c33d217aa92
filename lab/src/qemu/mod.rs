//! Runs a VM in QEMU.

mod acceleration;
mod command;

pub use acceleration::Accelerator;
pub(crate) use acceleration::choose;
pub(crate) use command::{Machine, arguments};

/// The program.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
