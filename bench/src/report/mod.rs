//! What a bench leaves: everything needed to judge it, and to repeat it, as JSON, table or page.

mod page;
mod terminal;

pub use page::html;
pub use terminal::{number, quantity, terminal};

use crate::{
    machine::{Machine, Revision},
    metric::Metric,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Which bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bench {
    /// `nestless bench attach`
    Attach,
    /// `nestless bench nic`
    Nic,
    /// `nestless bench loopback`
    Loopback,
    /// `nestless bench bandwidth`
    Bandwidth,
}

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attach => "attach",
            Self::Nic => "nic",
            Self::Loopback => "loopback",
            Self::Bandwidth => "bandwidth",
        })
    }
}

/// One run of a bench.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Which bench.
    pub bench: Bench,
    /// Version of the program that measured.
    pub version: String,
    /// Of the sources.
    pub revision: Revision,
    /// Where it ran.
    pub machine: Machine,
    /// Seconds since 1970 when it began.
    pub began_unix_s: u64,
    /// How long it took.
    pub took_s: f64,
    /// How often each side was measured.
    pub rounds: usize,
    /// What else was chosen, such as the seconds of one transfer.
    pub parameters: BTreeMap<String, String>,
    /// What was measured, with every sample.
    pub metrics: Vec<Metric>,
    /// What was seen beside the figures, such as how many of a burst's pods got a spare NIC.
    pub counts: BTreeMap<String, u64>,
}

impl Report {
    /// The metric called `name`.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}
