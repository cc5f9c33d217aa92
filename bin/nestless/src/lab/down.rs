//! `nestless lab down`

use crate::{complete, output};
use anyhow::Context as _;
use clap_complete::ArgValueCandidates;
use nestless_lab::{LabName, RemovalError};
use std::process::ExitCode;

/// Remove a lab, with its VMs and pods; also what a crashed one has left.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The lab's name.
    #[arg(long, value_name = "LAB", default_value = "lab", conflicts_with = "all", add = ArgValueCandidates::new(complete::labs))]
    name: LabName,
    /// Every lab of this machine, but those that belong to a running process.
    #[arg(long)]
    all: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(nix::unistd::geteuid().is_root(), "removing a lab needs root: run it with sudo");
        let removing = tokio::task::spawn_blocking(move || {
            if self.all {
                return nestless_lab::remove_all();
            }
            nestless_lab::remove(&self.name).map(|existed| if existed { vec![self.name] } else { Vec::new() })
        });
        match removing.await.context("remove labs")? {
            Ok(removed) if removed.is_empty() => output::print("there was nothing to remove\n")?,
            Ok(removed) => {
                for lab in removed {
                    output::print(&format!("removed lab {lab}\n"))?;
                }
            }
            Err(errors) => return Err(combined(errors)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn combined(errors: Vec<RemovalError>) -> anyhow::Error {
    let lines: Vec<_> = errors.into_iter().map(|error| format!("{:#}", anyhow::Error::new(error))).collect();
    anyhow::anyhow!("{}", lines.join("\nnestless: "))
}
