//! What a bench leaves: everything needed to judge it, and to repeat it.

use crate::{
    machine::{Machine, Revision},
    metric::Metric,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

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

/// When a bench began.
pub(crate) struct Began {
    at: SystemTime,
    clock: Instant,
}

impl Began {
    pub(crate) fn now() -> Self {
        Self { at: SystemTime::now(), clock: Instant::now() }
    }

    /// What was measured since then.
    pub(crate) fn report<const N: usize>(
        self,
        bench: Bench,
        machine: Machine,
        rounds: usize,
        parameters: [(&str, String); N],
        metrics: Vec<Metric>,
    ) -> Report {
        Report {
            bench,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: Revision::look(),
            machine,
            began_unix_s: self.at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            took_s: self.clock.elapsed().as_secs_f64(),
            rounds,
            parameters: parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            metrics,
            counts: BTreeMap::new(),
        }
    }
}

impl Report {
    /// The metric called `name`.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}
