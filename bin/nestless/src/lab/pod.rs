//! `nestless lab pod`

use super::which::Which;
use crate::{complete, output};
use clap::Subcommand;
use clap_complete::ArgValueCandidates;
use nestless_lab::{Fraction, Lab, PodNetwork, PodOptions};
use nestless_model::{
    identity::{FractionName, GroupName},
    loopback::GroupSize,
};
use nestless_page::Table;
use serde_json::json;
use std::process::ExitCode;

/// One subcommand a variant.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a pod, or one part of a split pod: a network namespace in a VM, connected by CNI.
    Add(Add),
    /// Remove a pod; a fraction leaves its group.
    Del(Del),
    /// List the pods of every VM.
    Ls(Ls),
}

/// Which pod.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    #[command(flatten)]
    which: Which,
    /// The VM.
    #[arg(add = ArgValueCandidates::new(complete::vms))]
    vm: String,
    /// The pod's name.
    #[arg(add = ArgValueCandidates::new(complete::containers))]
    pod: String,
}

/// What is to be made.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    named: Named,
    /// Connect it as usual, by a bridge and NAT inside the VM, to compare (needs ip and nft there: `lab up --with`).
    #[arg(long, conflicts_with = "group")]
    classic: bool,
    /// Make it a fraction of this split pod, and so give it a second interface: all pods of one group, in whichever VM,
    /// share 127.0.0.1 and ::1.
    #[arg(long, value_name = "NAME")]
    group: Option<GroupName>,
    /// What the fraction is called in its group. Default: as the pod.
    #[arg(long, value_name = "NAME", requires = "group")]
    fraction: Option<FractionName>,
    /// The most fractions that the group will have, 1 to 16, the same for all of them. Fewer have more ephemeral ports.
    #[arg(long, value_name = "N", requires = "group")]
    size: Option<GroupSize>,
    /// Without an eth0: the localhost that it shares is all it has.
    #[arg(long, requires = "group")]
    localhost_only: bool,
    /// Print the plugin's result as JSON.
    #[arg(long)]
    json: bool,
}

/// What is to go.
#[derive(Debug, clap::Args)]
pub(crate) struct Del {
    #[command(flatten)]
    named: Named,
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
            Self::Del(args) => del(args).await,
            Self::Ls(args) => list(args).await,
        }
    }
}

fn network(classic: bool) -> PodOptions {
    if classic { PodOptions::classic() } else { PodOptions::default() }
}

impl Add {
    fn options(&self) -> PodOptions {
        let mut options = network(self.classic);
        if self.localhost_only {
            options.network = PodNetwork::None;
        }
        options.fraction = self.group.as_ref().map(|group| Fraction {
            group: group.to_string(),
            name: self.fraction.as_ref().map_or_else(|| self.named.pod.clone(), ToString::to_string),
            size: self.size.map(u32::from),
        });
        options
    }
}

async fn add(args: Add) -> anyhow::Result<ExitCode> {
    let Named { which, vm, pod } = &args.named;
    let options = args.options();
    let fraction = options.fraction.clone();
    let pod = Lab::open(&which.name)?.pod_add(vm, pod, options).await?;
    if args.json {
        output::print_json(&pod.result)?;
    } else {
        let addresses = pod.addresses.iter().map(ToString::to_string);
        let fraction = fraction.map(|Fraction { group, name, .. }| format!("fraction {name} of {group}"));
        let columns = [pod.vm.to_string(), pod.name].into_iter().chain(addresses).chain(fraction);
        output::print(&format!("{}\n", columns.collect::<Vec<_>>().join("  ")))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn del(args: Del) -> anyhow::Result<ExitCode> {
    let Named { which, vm, pod } = &args.named;
    Lab::open(&which.name)?.pod_del(vm, pod, network(args.classic)).await?;
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
