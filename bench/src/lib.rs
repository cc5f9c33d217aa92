//! Measurements in labs: sides that are compared take turns within one run, on the same machines, and every sample is
//! kept.
//!
//! ```text
//! suites   attach     ADD and DEL of CNI plugins, by the guest's clock
//!          nic        a pod's way out                      \ load: throughput, latency,
//!          loopback   between two containers of one pod    | connections, CPU
//!          bandwidth  of a pod whose rate is limited       /
//!    |
//! runner   interleave (whose turn) -> metric (samples, ratios) -> report (with the machine; table, page) -> compare
//! ```

pub mod attach;
pub mod bandwidth;
mod compare;
mod interleave;
pub mod load;
pub mod loopback;
mod machine;
mod metric;
pub mod nic;
mod operator;
mod rank_test;
pub mod report;
mod runner;
mod statistics;
mod suite;

pub use compare::{Change, CompareError, Comparison, Likeness, Verdict, compare};
pub use interleave::turns;
pub use machine::{Machine, Revision};
pub use metric::{Metric, Ratio, Recorder, Series, Unit};
pub use operator::Operator;
pub use report::{Bench, Report};
pub use runner::{measure, run};
pub use statistics::{Summary, median, percentile};
pub use suite::{Phase, Prepared, Samples, Suite};
