//! `nestless`: the operator's and the developer's command.
//!
//! Each subcommand is a module of its own with an `Args` (or `Command`) type that clap reads and an
//! `async fn run(self) -> anyhow::Result<ExitCode>`; this file only puts them together. What a command answers goes to
//! stdout, everything else to stderr.

mod bench;
mod cni_plugin;
mod complete;
mod connectivity;
mod doctor;
mod lab;
mod loopback;
mod manual;
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
mod uninstall;
mod vm;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::CompleteEnv;
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
    Uninstall(uninstall::Args),
    Completion(shell::Completion),
    Man(manual::Man),
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
            Self::Uninstall(args) => args.run().await,
            Self::Completion(args) => args.run(),
            Self::Man(args) => args.run(Cli::command()),
            Self::Schema(args) => args.run(),
        }
    }
}

fn main() -> ExitCode {
    // A shell that completes a command line ends here; asking a daemon takes a runtime of its own.
    CompleteEnv::with_factory(Cli::command).complete();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(Cli::parse().command.run()),
        Err(error) => Err(anyhow::Error::new(error).context("start the runtime")),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("nestless: {}", visible::in_text(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
