//! The host's half on the real kernel, and with a real QEMU.

mod fabric;
mod namespace_vm;
mod qemu;
