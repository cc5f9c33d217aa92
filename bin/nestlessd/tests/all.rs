//! The daemon, as its guests and its operator meet it.

mod channel;
mod daemon;
mod errors;
mod groups;
mod memory;
mod reload;
mod tls;
