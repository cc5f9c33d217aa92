//! Labs of namespaces and of QEMU guests.

mod lab;
mod servers;
mod split_servers;
mod ways;
mod with_daemon;
