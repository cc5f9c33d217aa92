//! What the planner reads and writes: clusters, traces, catalogues, reports. What it decides lies in `nestless-model`.

pub mod catalogue;
pub mod fetch;
mod fleet;
pub mod read;

pub use fleet::{Fleet, Lifetime};
