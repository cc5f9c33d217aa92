//! `nestless doctor`: what a host or a guest lacks, and the command that mends it.
//!
//! [`look`] gathers facts of the machine, and [`ask`] asks what runs on it; both judge nothing. [`host`], [`guest`] and
//! what is `running` there judge, and look at nothing else.

mod ask;
mod bpf_helpers;
mod check;
mod forwarding;
mod guest;
mod host;
mod look;
mod running_guest;
mod running_host;

pub(crate) use check::Report;

use crate::{operator::Daemon, output};
use std::{path::PathBuf, process::ExitCode};

/// Show what this host or guest lacks, and the command that mends it. Whatever should run is asked: the daemon, its VMs and
/// their agents; in a guest its agent, the host, and the pods' gateways.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check a guest. To be run in it.
    #[arg(long, conflicts_with_all = ["host", "lab", "config"])]
    guest: bool,
    /// Check a host (the default).
    #[arg(long)]
    host: bool,
    #[command(flatten)]
    daemon: Daemon,
    /// What nestlessd is started with. Default: /etc/nestless/nestlessd.toml, or the lab's
    #[arg(long, value_name = "FILE", env = "NESTLESSD_CONFIG")]
    config: Option<PathBuf>,
    /// Print JSON (`nestless schema doctor`).
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Exit code 1 when something needed is missing.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let report = if self.guest {
            let mut checks = guest::judge(&look::guest());
            checks.push(forwarding::check(&nestless_guest::port_mapping::obstacles()));
            checks.extend(running_guest::judge(&ask::guest().await));
            Report::new("guest", checks)
        } else {
            let mut checks = host::judge(&look::host());
            checks.extend(running_host::judge(&ask::host(&self.daemon, self.config.as_deref()).await));
            Report::new("host", checks)
        };
        if self.json {
            output::print_json(&report)?;
        } else {
            output::print(&report.render())?;
        }
        Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
