//! `nestless doctor`: what a host or a guest lacks, and the command that mends it.
//!
//! [`look`] gathers facts and judges nothing; [`host`] and [`guest`] judge and look at nothing else.

mod bpf_helpers;
mod check;
mod forwarding;
mod guest;
mod host;
mod look;

pub(crate) use check::Report;

use crate::output;
use std::process::ExitCode;

/// Show what this host or guest lacks, and the command that mends it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check what a guest needs.
    #[arg(long, conflicts_with = "host")]
    guest: bool,
    /// Check what a host needs (the default).
    #[arg(long)]
    host: bool,
    /// Print JSON (`nestless schema doctor`).
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Exit code 1 when something needed is missing.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let report = if self.guest {
            let mut checks = guest::judge(&look::guest());
            checks.push(forwarding::check(&nestless_guest::port_mapping::obstacles()));
            Report::new("guest", checks)
        } else {
            Report::new("host", host::judge(&look::host()))
        };
        if self.json {
            output::print_json(&report)?;
        } else {
            output::print(&report.render())?;
        }
        Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
