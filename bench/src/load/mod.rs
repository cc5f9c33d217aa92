//! Traffic between two network namespaces, wherever they are: transfers, requests, connections, and the processor time
//! that they take.

mod processor;
mod station;
mod traffic;

pub use station::Station;

pub(crate) use processor::{ProcessorTime, seconds_per_gib};
pub(crate) use station::MAPPED_PORTS;
pub(crate) use traffic::{connections, requests, transfer};
