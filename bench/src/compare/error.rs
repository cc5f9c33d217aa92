//! Why two runs cannot be compared.

use crate::{metric::Unit, report::Bench};

/// Two runs that cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// Of two benches.
    #[error(
        "the first file is a run of `nestless bench {before}`, the second one of `nestless bench {after}`"
    )]
    Benches {
        /// The first's.
        before: Bench,
        /// The second's.
        after: Bench,
    },
    /// One name, two units.
    #[error("{metric} is in {before} in the first file, and in {after} in the second")]
    Units {
        /// The metric.
        metric: String,
        /// In the first.
        before: Unit,
        /// In the second.
        after: Unit,
    },
    /// Nothing was measured.
    #[error("the {which} file has no samples")]
    NoSamples {
        /// "first", "second".
        which: &'static str,
    },
    /// No row is in both.
    #[error("no metric and side is in both files")]
    NothingInCommon,
    /// Other circumstances.
    #[error(
        "the runs were not made alike: {}; --unlike compares them all the same",
        differences.join("; ")
    )]
    Unlike {
        /// Sentences.
        differences: Vec<String>,
    },
}
