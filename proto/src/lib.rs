//! `nestless/v1`: what a guest may ask of its host, and what the host's operator may. Generated from `*.proto`.

#[allow(missing_docs, clippy::all, unreachable_pub)]
mod generated {
    tonic::include_proto!("nestless.v1");
}

pub use generated::*;

/// For gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The largest message that an agent, or an operator's program, accepts, in bytes: a list of 256 attachments fits several times
/// over.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// The largest that a host accepts of a guest, in bytes: a report of 1024 NICs, as many as a VM may have, fits.
pub const MAX_REQUEST_BYTES: usize = 32 << 10;

pub mod connection;
mod status;
