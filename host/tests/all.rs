//! The host's half on the real kernel, and with a real QEMU.

#[macro_use]
mod conformance;
mod fabric;
mod namespace_vm;
mod qemu;
