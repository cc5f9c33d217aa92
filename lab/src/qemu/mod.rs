//! Runs a VM in QEMU.

mod acceleration;
mod command;

pub use acceleration::Accelerator;
pub(crate) use acceleration::{PROGRAM, choose};
pub(crate) use command::{Machine, arguments};
