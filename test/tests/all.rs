//! End to end: labs, and what the programs do in them.

mod cni;
mod command;
mod containerd;
mod corpus;
mod errors;
mod faults;
mod flood;
mod guard;
mod guest_lifecycle;
mod interfaces;
mod loopback;
mod older_kernel;
mod packages;
mod pods_by_hand;
mod scale;
mod secure_channel;
mod split;
mod split_behaviour;
mod used_nics;
mod without_ipv6;
