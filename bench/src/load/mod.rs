//! Traffic between two network namespaces, wherever they are: transfers, requests, connections, and the processor time
//! that they take.

mod processor;
mod sides;
mod station;
mod traffic;

pub use sides::{End, Lengths, Load, Side, Traffic};
pub use station::Station;

pub(crate) use station::MAPPED_PORTS;
