//! `nestless bench`: what attaching costs, what a pod's way out costs, what a split pod's localhost costs, and how two
//! runs differ.

mod attach;
mod compare;
mod loopback;
mod nic;
mod table;

pub(crate) use table::{number, quantity};

use crate::{output, progress::Display, shutdown::Shutdown};
use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use nestless_bench::Report;
use nestless_lab::Vmm;
use std::{path::PathBuf, process::ExitCode};

/// One subcommand a variant, one module each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Attach(attach::Args),
    Nic(nic::Args),
    Loopback(loopback::Args),
    Compare(compare::Args),
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Attach(args) => args.run().await,
            Self::Nic(args) => args.run().await,
            Self::Loopback(args) => args.run().await,
            Self::Compare(args) => args.run(),
        }
    }
}

/// What every bench is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// What runs the VM.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) vmm: VmmName,
    /// Write everything, with each sample, to this file; "-": to stdout, instead of the table.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// As on the command line.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum VmmName {
    /// Real virtual machines.
    #[default]
    Qemu,
    /// Namespaces of this machine: up in a moment, and no guest kernel. For trying out, not for figures.
    Namespace,
}

impl From<VmmName> for Vmm {
    fn from(name: VmmName) -> Self {
        match name {
            VmmName::Qemu => Self::Qemu,
            VmmName::Namespace => Self::Namespace,
        }
    }
}

impl Common {
    /// Runs a bench until it ends or is interrupted, and shows what came out.
    async fn show(
        &self,
        display: Display,
        bench: impl Future<Output = anyhow::Result<Report>>,
    ) -> anyhow::Result<ExitCode> {
        let mut shutdown = Shutdown::watch()?;
        let report = tokio::select! {
            report = bench => report?,
            () = shutdown.asked() => {
                display.finish("interrupted: everything was removed");
                return Ok(Shutdown::exit_code());
            }
        };
        display.finish("done: the lab is removed");
        match &self.json {
            Some(path) if path.as_os_str() == "-" => output::print_json(&report)?,
            path => {
                if let Some(path) = path {
                    let text = format!("{}\n", serde_json::to_string_pretty(&report)?);
                    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
                }
                output::print(&table::render(&report))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// No other bench of this process's is in the way, and those of other processes are not either.
fn lab_name() -> String {
    format!("bench{}", std::process::id())
}
