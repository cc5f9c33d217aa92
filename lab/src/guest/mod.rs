//! What the lab and its VM's init say to each other.

mod client;
mod config;
mod door;
mod error;
mod exec;
pub mod proto;

pub use client::GuestClient;
pub use config::{APPLETS, Channel, GuestConfig, GuestConfigError};
pub(crate) use door::{Door, port_socket};
pub use door::{PORTS, port_name};
pub use error::GuestError;
pub use exec::{Exec, ExecError, Exit, Measured, Output, Piece};
