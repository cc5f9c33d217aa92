//! `nestless lab pod`

use super::Which;
use crate::output;
use clap::Subcommand;
use nestless_lab::{Lab, PodOptions};
use nestless_page::Table;
use serde_json::json;
use std::process::ExitCode;

/// One subcommand a variant.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a pod: a network namespace in a VM, connected by CNI.
    Add(Add),
    /// Remove a pod.
    Del(Del),
    /// List the pods of every VM.
    Ls(Ls),
}

/// Which pod.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    which: Which,
    /// The VM.
    vm: String,
    /// The pod's name.
    pod: String,
    /// Connect it as usual, by a bridge and NAT inside the VM, to compare (needs ip and nft there: `lab up --with`).
    #[arg(long)]
    classic: bool,
    /// Print the plugin's result as JSON.
    #[arg(long)]
    json: bool,
}

/// Which pod.
#[derive(Debug, clap::Args)]
pub(crate) struct Del {
    #[command(flatten)]
    which: Which,
    /// The VM.
    vm: String,
    /// The pod's name.
    pod: String,
    /// It was made with --classic.
    #[arg(long)]
    classic: bool,
}

/// Which lab.
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    which: Which,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add(args) => add(args).await,
            Self::Del(args) => {
                let lab = Lab::open(&args.which.name)?;
                lab.pod_del(&args.vm, &args.pod, options(args.classic)).await?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Ls(args) => list(args).await,
        }
    }
}

fn options(classic: bool) -> PodOptions {
    if classic { PodOptions::classic() } else { PodOptions::default() }
}

async fn add(args: Add) -> anyhow::Result<ExitCode> {
    let lab = Lab::open(&args.which.name)?;
    let pod = lab.pod_add(&args.vm, &args.pod, options(args.classic)).await?;
    if args.json {
        output::print_json(&pod.result)?;
    } else {
        let addresses: Vec<_> = pod.addresses.iter().map(ToString::to_string).collect();
        output::print(&format!("{}  {}  {}\n", pod.vm, pod.name, addresses.join("  ")))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: Ls) -> anyhow::Result<ExitCode> {
    let lab = Lab::open(&args.which.name)?;
    let mut found = Vec::new();
    for vm in lab.vms() {
        found.extend(lab.pods(vm.name().as_str()).await?.into_iter().map(|pod| (vm.name().to_string(), pod)));
    }
    if args.json {
        let pods: Vec<_> = found.iter().map(|(vm, pod)| json!({ "vm": vm, "pod": pod })).collect();
        output::print_json(&pods)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(["VM", "POD"]);
    for (vm, pod) in found {
        table.add_row([vm, pod]);
    }
    output::print(&table.terminal())?;
    Ok(ExitCode::SUCCESS)
}
