//! `nestless connectivity-test`: two pods are made by the plugin of this VM, everything that pods do over a network is
//! tried between them, and they are removed again, also on Ctrl-C.

mod pods;
mod report;
mod ways;

pub(crate) use report::Report;

use crate::{cni_plugin::Plugin, output, shutdown::Shutdown};
use anyhow::{Context as _, ensure};
use pods::Pods;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

/// Make two pods in this VM, try every way between them and out of them, and remove them. To be run in the VM, as root.
///
/// The pods are network namespaces that the CNI plugin connects, as a container runtime would have it done; each takes two of
/// the VM's NICs. Exit code 1 when a way does not work.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of the host's networks, instead of the VM's default.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Try to reach this from a pod too: an address outside of the host that listens on the port.
    #[arg(long, value_name = "ADDRESS:PORT")]
    outside: Option<SocketAddr>,
    /// The CNI plugin. Default: the one in /opt/cni/bin or /usr/lib/cni, or beside this program.
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Where the agent listens, if it runs with another --run-dir.
    #[arg(long, value_name = "PATH", default_value = "/run/nestless/agent.sock")]
    agent_socket: PathBuf,
    /// Print JSON (`nestless schema connectivity-test`).
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(nix::unistd::geteuid().is_root(), "making pods needs root: run it with sudo, in the VM");
        let plugin = Plugin::find(self.plugin.as_deref())?;
        let mut shutdown = Shutdown::watch()?;
        let mut pods = Pods::new(plugin, self.network.clone(), self.agent_socket.clone());
        let tried = tokio::select! {
            tried = ways::try_all(&mut pods, self.outside) => Some(tried),
            () = shutdown.asked() => None,
        };
        let left = pods.remove().await;
        ensure!(left.is_empty(), "not all was removed: {}", left.join("; "));
        let Some(tried) = tried else {
            eprintln!("interrupted: the pods were removed");
            return Ok(Shutdown::exit_code());
        };
        let report = Report::new(tried.context("make two pods")?);
        if self.json {
            output::print_json(&report)?;
        } else {
            output::print(&report.render())?;
        }
        Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
