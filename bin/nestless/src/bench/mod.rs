//! `nestless bench`: what attaching costs, what a pod's way out costs, what a split pod's localhost costs, and how two
//! runs differ.

mod compare;
mod measure;

pub(crate) use measure::VmmName;

use clap::Subcommand;
use measure::Measure;
use nestless_bench::{attach::Attach, bandwidth::Bandwidth, loopback::Loopback, nic::Nic};
use std::process::ExitCode;

/// A suite a variant, and what is done with their reports.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Attach(Measure<Attach>),
    Nic(Measure<Nic>),
    Loopback(Measure<Loopback>),
    Bandwidth(Measure<Bandwidth>),
    Compare(compare::Args),
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Attach(suite) => suite.run().await,
            Self::Nic(suite) => suite.run().await,
            Self::Loopback(suite) => suite.run().await,
            Self::Bandwidth(suite) => suite.run().await,
            Self::Compare(args) => args.run(),
        }
    }
}
