//! What is wrong with an input, where, and what was left out of it.

use super::quantity::QuantityError;
use super::shorten;
use nestless_support::error_chain::in_full;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Faults kept word for word in lenient mode; the rest are only counted, so that a bad gigabyte costs no memory.
const LISTED: usize = 100;

/// One thing in an input that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}, line {line}, field {field}")]
pub struct Fault {
    /// The input, as the user named it.
    pub file: Arc<str>,
    /// Counted from 1; 0 when the file could not even be opened.
    pub line: u64,
    /// A column's name, or the path of a field in an object.
    pub field: String,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Not the format's number of columns.
    #[error("the row has {found} columns, this format has {expected}")]
    Columns {
        /// In this row.
        found: usize,
        /// In every row.
        expected: usize,
    },
    /// Empty or absent where a value is needed.
    #[error("no value")]
    Missing,
    /// Not a number of the wanted kind.
    #[error("{text:?} is not {wanted}")]
    NotA {
        /// What was read, cut to 40 characters.
        text: String,
        /// "a whole number", "a boolean", ...
        wanted: &'static str,
    },
    /// Not an amount.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// Below zero.
    #[error("{text} is negative")]
    Negative {
        /// What was read.
        text: String,
    },
    /// More than any machine has.
    #[error("{text} is more than {limit}, the most that is believed")]
    Absurd {
        /// What was read.
        text: String,
        /// In words.
        limit: &'static str,
    },
    /// A pod whose rows are not together.
    #[error("rows of pod {pod:?} were read before; rows of one pod must follow each other")]
    Scattered {
        /// Its name.
        pod: String,
    },
    /// The text is not JSON, YAML or CSV, or its shape is not that of the object.
    #[error("{message}")]
    Shape {
        /// The parser's words.
        message: String,
    },
    /// A line or document too long to hold.
    #[error("longer than {limit} bytes: is this the right format?")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
    /// The bytes themselves: cannot open, truncated gzip, broken disk. The rest of the file is lost.
    #[error("the file cannot be read on from here")]
    Unreadable(#[source] io::Error),
}

impl Fault {
    /// The fault and its cause in one line.
    pub fn sentence(&self) -> String {
        format!("{self}: {}", in_full(&self.problem))
    }
}

/// Why something well-formed is not part of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// A task whose requests the trace does not tell.
    NoRequest,
    /// A pod that has ended (phase Succeeded or Failed).
    Ended,
    /// A job whose tasks together exceed the largest machine.
    LargerThanMachine,
    /// A pod made by a controller that is also in the input.
    Owned,
    /// A pod of a DaemonSet, which is part of what every VM keeps for itself.
    Daemon,
    /// A static pod, which runs on its node whatever is planned.
    Static,
    /// A Kubernetes object that runs no containers.
    OtherKind,
    /// A workload scaled to zero, or a suspended CronJob.
    NoReplicas,
    /// Alive only before or after the asked instant.
    NotAlive,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRequest => "tasks without requests",
            Self::Ended => "pods that have ended",
            Self::LargerThanMachine => "jobs larger than the largest machine",
            Self::Owned => "pods counted with their controller",
            Self::Daemon => "pods of DaemonSets, which every VM keeps room for",
            Self::Static => "static pods, which belong to their node",
            Self::OtherKind => "objects that run no containers",
            Self::NoReplicas => "workloads with no replicas",
            Self::NotAlive => "pods not alive at the asked time",
        })
    }
}

/// Faults and omissions of one reading. Nothing is left out without being counted here.
#[derive(Debug, Default)]
pub struct Ledger {
    lenient: bool,
    listed: Vec<Fault>,
    faults: u64,
    skipped: BTreeMap<Skip, u64>,
    ignored: BTreeMap<String, u64>,
    rows: u64,
}

impl Ledger {
    /// The first fault ends the reading.
    pub fn strict() -> Self {
        Self::default()
    }

    /// Faults are counted and listed, and the reading goes on.
    pub fn lenient() -> Self {
        Self { lenient: true, ..Self::default() }
    }

    /// # Errors
    /// The fault itself, when faults are not tolerated.
    pub fn fault(&mut self, fault: Fault) -> Result<(), Fault> {
        if !self.lenient {
            return Err(fault);
        }
        self.faults += 1;
        if self.listed.len() < LISTED {
            self.listed.push(fault);
        }
        Ok(())
    }

    /// Counts `count` omissions.
    pub fn skip(&mut self, why: Skip, count: u64) {
        if count > 0 {
            *self.skipped.entry(why).or_default() += count;
        }
    }

    /// Counts a request that is not planned, such as `nvidia.com/gpu`. Names are cut, and at most a hundred are told apart.
    pub(crate) fn ignore(&mut self, resource: &str) {
        let name = shorten(resource);
        let name = if self.ignored.len() < LISTED || self.ignored.contains_key(&name) {
            name
        } else {
            "others".into()
        };
        *self.ignored.entry(name).or_default() += 1;
    }

    /// Containers that ask for something beside CPU and memory, by its name.
    pub fn ignored(&self) -> &BTreeMap<String, u64> {
        &self.ignored
    }

    /// Counts one row or object, good or bad.
    pub fn row(&mut self) {
        self.rows += 1;
    }

    /// Rows or objects seen.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// All faults, listed or not.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// The first hundred faults.
    pub fn listed(&self) -> &[Fault] {
        &self.listed
    }

    /// What was left out by rule.
    pub fn skipped(&self) -> &BTreeMap<Skip, u64> {
        &self.skipped
    }
}
