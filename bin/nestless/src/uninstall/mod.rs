//! `nestless uninstall`: takes away what nestlessd, or the agent, keeps on this machine.
//!
//! ```text
//! host.rs, guest.rs: look --> Found --> shown, then done: each removal is one line of shell
//!                                   --> script.rs: the same lines, for a package's purge, when this program is gone
//! ```

mod found;
mod guest;
mod host;
mod removal;
mod script;

use crate::output;
use anyhow::{Context as _, bail, ensure};
use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

/// Remove what Nestless keeps on this machine: bridges, nftables tables, kernel settings, pins, the ledger, the configuration.
/// Shows it first, and asks. The programs themselves are left to whatever installed them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What nestless-agent keeps in a VM, in place of what nestlessd keeps on a host.
    #[arg(long)]
    guest: bool,
    /// The daemon's configuration, which says where its files are.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/nestless/nestlessd.toml",
        conflicts_with = "guest"
    )]
    config: PathBuf,
    /// Where the agent's files are.
    #[arg(long, value_name = "DIR", default_value = "/run/nestless", requires = "guest")]
    run_dir: PathBuf,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Go on where VMs, or pods, still have NICs: their network is cut off.
    #[arg(long)]
    cut_off: bool,
    /// Print a script that does it, whatever is running, and change nothing.
    #[arg(long, conflicts_with_all = ["yes", "cut_off"])]
    script: bool,
}

impl Args {
    /// Exit code 1 when something was in the way, could not be removed, or the answer was no.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(nix::unistd::geteuid().is_root(), "this needs root: run it with sudo");
        let found = if self.guest { guest::look(&self.run_dir)? } else { host::look(&self.config).await? };
        if self.script {
            output::print(&script::of(&found.removals, &boot_id()?))?;
            return Ok(ExitCode::SUCCESS);
        }
        output::print(&found.told())?;
        if let Some(service) = &found.running {
            bail!(
                "{service} runs: stop it first, with `systemctl disable --now {service}`; nothing was changed"
            );
        }
        if found.removals.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        if !found.in_use.is_empty() && !self.cut_off {
            bail!(
                "the network of what still runs would be cut off: stop it first, or repeat with --cut-off; nothing was changed"
            );
        }
        if !self.yes && !agreed()? {
            return Ok(ExitCode::FAILURE);
        }
        let failures: Vec<String> =
            found.removals.iter().filter_map(|removal| removal.perform().err()).collect();
        ensure!(failures.is_empty(), "{}", failures.join("\nnestless: "));
        output::print(&format!("removed\n{}", found.afterwards))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Asks on the terminal; without one, nobody can agree.
fn agreed() -> anyhow::Result<bool> {
    ensure!(
        std::io::stdin().is_terminal(),
        "to remove this without being asked, repeat with --yes; nothing was changed"
    );
    let mut stderr = std::io::stderr();
    write!(stderr, "Remove all this? [y/N] ").and_then(|()| stderr.flush()).context("ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn boot_id() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(std::fs::read_to_string(path).with_context(|| format!("read {path}"))?.trim().to_owned())
}
