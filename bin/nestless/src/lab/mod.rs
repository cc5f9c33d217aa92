//! `nestless lab`: labs from the command line.

mod demo;
mod down;
mod exec;
mod export_logs;
mod ls;
mod pod;
mod up;
mod which;

pub(crate) use demo::{Demo, SplitDemo};

use clap::Subcommand;
use std::process::ExitCode;

/// One subcommand a variant, one module each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Up(up::Args),
    Down(down::Args),
    Exec(exec::Args),
    Ls(ls::Args),
    ExportLogs(export_logs::Args),
    /// Make, remove and list the pods of a lab's VM.
    #[command(subcommand)]
    Pod(pod::Command),
}

impl Command {
    /// Runs it; the exit code is the command's own.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Demo(args) => args.run().await,
            Self::Up(args) => args.run().await,
            Self::Down(args) => args.run().await,
            Self::Exec(args) => args.run().await,
            Self::Ls(args) => args.run(),
            Self::ExportLogs(args) => args.run().await,
            Self::Pod(command) => command.run().await,
        }
    }
}
