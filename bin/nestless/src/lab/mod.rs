//! `nestless lab`: labs from the command line.

use clap::Subcommand;
use std::process::ExitCode;

/// One subcommand a variant, one module each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the labs of this machine.
    Ls,
}

impl Command {
    /// Runs it; the exit code is the command's own.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Ls => Ok(ExitCode::SUCCESS),
        }
    }
}
