//! What the lab and its VM's init say to each other.

mod client;
mod config;

pub(crate) use client::{Door, port_socket};
pub use client::{Exec, ExecError, Exit, GuestClient, GuestError, Measured, Output, Piece};
pub use config::{Channel, GuestConfig, GuestConfigError};

/// Generated from `lab.proto`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod proto {
    tonic::include_proto!("nestless.lab.v1");
}

/// Name of the virtio-serial port with this number; a caller needs one for itself.
pub fn port_name(number: usize) -> String {
    format!("org.nestless.lab.{number}")
}

/// Where a namespace VM has busybox's applets.
pub const APPLETS: &str = "/run/nestless-lab/applets";

/// How many callers can use one QEMU guest at the same time, each with any number of requests.
pub const PORTS: usize = 4;
