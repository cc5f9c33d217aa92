//! What the planner reads and writes: clusters, traces, catalogues, reports. What it decides lies in `nestless-placement`.

pub mod analysis;
pub mod catalogue;
pub mod fetch;
mod fleet;
pub mod generate;
pub mod limits;
pub mod read;
pub mod report;
pub mod simulate;
pub mod today;

pub use fleet::{Fleet, Lifetime};
