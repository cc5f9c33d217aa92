//! Measurements in labs: sides that are compared take turns within one run, on the same machines, and every sample is
//! kept.
//!
//! ```text
//! attach  ADD and DEL of CNI plugins, by the guest's clock
//!    |    nic  a pod's way out        loopback  between two containers of one pod
//!    |     \__________ load (throughput, latency, connections, CPU) ___/
//!    \________________________________________________________________/
//!                 interleave (whose turn) -> metric (samples, ratios) -> report (with the machine) -> compare
//! ```

pub mod attach;
mod compare;
mod interleave;
mod load;
pub mod loopback;
mod machine;
mod metric;
pub mod nic;
mod operator;
mod report;
mod statistics;

pub use compare::{Change, Comparison, compare};
pub use interleave::turns;
pub use machine::{Machine, Revision};
pub use metric::{Metric, Ratio, Recorder, Series, Unit};
pub use operator::Operator;
pub use report::{Bench, Report};
pub use statistics::{Summary, median, percentile};

/// Told each step as it begins, in words.
pub type Watch<'a> = &'a (dyn Fn(&str) + Send + Sync);
