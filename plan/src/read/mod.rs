//! Readers: from what clusters and traces print to a [`Fleet`](crate::Fleet).
//!
//! Every reader streams: what it holds grows with what is planned, never with the text. What is wrong is a [`Fault`] with
//! file, line and field; what is left out by rule is counted in the [`Ledger`].

pub mod alibaba;
mod amount;
mod fault;
pub mod google;
mod input;
pub mod kubernetes;
mod quantity;
pub mod table;

pub use fault::{Fault, Ledger, Problem, Skip};
pub use input::decompressed;
pub use quantity::{Quantity, QuantityError};

pub(crate) use amount::{cpu_milli, memory_bytes};

/// The first 40 characters: hostile text does not fill the terminal.
fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}
