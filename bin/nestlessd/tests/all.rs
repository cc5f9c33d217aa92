//! The daemon, as its guests and its operator meet it.

mod channel;
mod daemon;
mod groups;
mod memory;
mod tls;
