//! Decisions without effects: no sockets, no clock, no runtime. Whatever this crate returns, `host` and
//! `guest` carry out; whatever they see, they hand back to it.

pub mod address;
pub mod attachment;
pub mod cni;
pub mod guard;
pub mod identity;
pub mod loopback;
pub mod network;
pub mod port_mapping;
pub mod refusal;
pub mod shape;
pub mod topology;
