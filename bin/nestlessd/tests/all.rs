//! The daemon, as its guests and its operator meet it.

mod channel;
mod daemon;
mod errors;
mod reload;
mod tls;
