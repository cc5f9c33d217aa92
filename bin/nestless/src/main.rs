//! `nestless`: the operator's and the developer's command.
//!
//! Each subcommand is a module of its own with an `Args` (or `Command`) type that clap reads and an
//! `async fn run(self) -> anyhow::Result<ExitCode>`; this file only puts them together. What a command answers goes to
//! stdout, everything else to stderr.

mod bench;
mod cni_plugin;
mod connectivity;
mod doctor;
mod lab;
mod loopback;
mod mend;
mod net;
mod operator;
mod output;
mod plan;
mod progress;
mod report;
mod shell;
mod shutdown;
mod status;
mod topology;
mod trace;
mod vm;

use clap::{CommandFactory as _, Parser, Subcommand};
use nestless_support::visible;
use std::process::ExitCode;

/// Networking for containers in virtual machines: no second network layer inside the VM.
#[derive(Debug, Parser)]
#[command(name = "nestless", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build, use and remove labs: hosts, VMs and pods on this machine.
    #[command(subcommand)]
    Lab(lab::Command),
    /// Measure what attaching and a pod's way out cost, and compare runs.
    #[command(subcommand)]
    Bench(bench::Command),
    Status(status::Args),
    /// Look at the VMs of the host.
    #[command(subcommand)]
    Vm(vm::Command),
    /// Look at the localhosts of split pods.
    #[command(subcommand)]
    Loopback(loopback::Command),
    Trace(trace::Args),
    Doctor(doctor::Args),
    ConnectivityTest(connectivity::Args),
    Topology(topology::Args),
    Plan(Box<plan::Args>),
    Reconcile(mend::Reconcile),
    Release(mend::Release),
    Completion(shell::Completion),
    Man(shell::Man),
    Schema(shell::Schema),
}

impl Command {
    async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Lab(command) => command.run().await,
            Self::Bench(command) => command.run().await,
            Self::Status(args) => args.run().await,
            Self::Vm(command) => command.run().await,
            Self::Loopback(command) => command.run().await,
            Self::Trace(args) => args.run().await,
            Self::Doctor(args) => args.run().await,
            Self::ConnectivityTest(args) => args.run().await,
            Self::Topology(args) => args.run(),
            Self::Plan(args) => args.run(),
            Self::Reconcile(args) => args.run().await,
            Self::Release(args) => args.run().await,
            Self::Completion(args) => args.run(Cli::command()),
            Self::Man(args) => args.run(Cli::command()),
            Self::Schema(args) => args.run(),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command.run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("nestless: {}", visible::in_text(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
