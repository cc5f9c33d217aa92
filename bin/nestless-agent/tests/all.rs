//! The agent in a namespace that plays the VM, with a host that the tests play.

mod cni;
mod errors;
mod faults;
mod loopback;
mod world;
