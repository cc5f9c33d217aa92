//! One end of a way: a network namespace somewhere, in which programs are run.

use anyhow::{Context as _, bail};
use ipnet::IpNet;
use nestless_lab::{
    Exec, GuestClient, Lab, Neighbour, Output, Piece, Vm,
    image::{Program, Programs},
};
use std::net::{IpAddr, Ipv4Addr};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// The program that measures latency.
pub(super) const PROBE: &str = Program::Probe.name();
/// Where iperf3 listens.
pub(super) const TRANSFER_PORT: u16 = 5201;
/// Where the probe does.
pub(super) const PROBE_PORT: u16 = 5202;
/// Where the probe answers each connection once, and ends it.
pub(super) const CONNECTION_PORT: u16 = 5203;
/// All of them, as nft writes a set.
pub(crate) const MAPPED_PORTS: &str = "5201-5203";
/// Below the pods' addresses, and above the VMs' own.
const NEIGHBOUR: &str = "10.78.0.200/16";

/// An end. One that serves has iperf3 and the probe listening in it for as long as this value lives.
pub struct Station {
    location: Location,
    address: IpAddr,
    _servers: Vec<Server>,
}

enum Location {
    Neighbour(Neighbour),
    Pod { vm: GuestClient, pod: String },
}

/// Ends with the value.
enum Server {
    Child(#[expect(dead_code, reason = "kept to be ended")] Child),
    Task(JoinHandle<()>),
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

impl Station {
    /// On the lab's host, beside the VMs.
    ///
    /// # Errors
    /// When it cannot be made, or a server does not start.
    pub async fn neighbour(lab: &Lab) -> anyhow::Result<Self> {
        let address: IpNet = NEIGHBOUR.parse().context("a constant address")?;
        let neighbour = lab.neighbour("neighbour", address).await?;
        Self::serving(Location::Neighbour(neighbour), address.addr()).await
    }

    /// A pod's namespace in a VM. Others reach it by `address`.
    ///
    /// # Errors
    /// When a server does not start.
    pub(crate) async fn pod(vm: &Vm, pod: &str, address: IpAddr) -> anyhow::Result<Self> {
        Self::serving(Location::Pod { vm: vm.client().await?, pod: pod.to_owned() }, address).await
    }

    /// A pod's namespace in a VM, from which others are asked, and which nobody asks.
    ///
    /// # Errors
    /// When the VM does not answer.
    pub(crate) async fn asking(vm: &Vm, pod: &str) -> anyhow::Result<Self> {
        let location = Location::Pod { vm: vm.client().await?, pod: pod.to_owned() };
        Ok(Self { location, address: Ipv4Addr::UNSPECIFIED.into(), _servers: Vec::new() })
    }

    async fn serving(location: Location, address: IpAddr) -> anyhow::Result<Self> {
        let iperf = Exec::new(["iperf3", "-s", "-p", &TRANSFER_PORT.to_string(), "--forceflush"]);
        let ports = [PROBE_PORT, CONNECTION_PORT].map(|port| port.to_string());
        let probe = Exec::new([PROBE, "serve", &ports[0], &ports[1]]);
        let servers =
            vec![location.serve(&iperf, "Server listening").await?, location.serve(&probe, "ready").await?];
        Ok(Self { location, address, _servers: servers })
    }

    /// By which the other end reaches it.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Runs a program in it; its output.
    pub(crate) async fn run(&self, exec: Exec) -> anyhow::Result<Output> {
        let line = exec.line();
        let output = match &self.location {
            Location::Neighbour(neighbour) => neighbour.exec(&own(&exec)?).await?,
            Location::Pod { vm, pod } => vm.exec(&exec.in_pod(pod)).await?,
        };
        Ok(output.success(line)?)
    }
}

impl Location {
    /// Starts a program and waits until it has written `ready`.
    async fn serve(&self, exec: &Exec, ready: &'static str) -> anyhow::Result<Server> {
        match self {
            Self::Neighbour(neighbour) => {
                let mut command = neighbour.command(&own(exec)?);
                command.stdout(std::process::Stdio::piped());
                let mut child = command.spawn().with_context(|| format!("start `{}`", exec.line()))?;
                let mut lines = BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines();
                while let Some(line) = lines.next_line().await? {
                    if line.contains(ready) {
                        // A full pipe would stop it.
                        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                        return Ok(Server::Child(child));
                    }
                }
                bail!("`{}` ended before it was ready", exec.line());
            }
            Self::Pod { vm, pod } => {
                let (vm, exec) = (vm.clone(), exec.clone().in_pod(pod));
                let line = exec.line();
                let (tell, told) = oneshot::channel();
                let task = tokio::spawn(async move {
                    let (_open, input) = mpsc::channel(1);
                    let (mut tell, mut seen) = (Some(tell), Vec::new());
                    // Whoever waits for it learns of a failure by the end of `tell`.
                    let _ = vm
                        .exec_streaming(&exec, input, |piece| {
                            let (Piece::Stdout(bytes) | Piece::Stderr(bytes)) = piece;
                            if tell.is_some() {
                                seen.extend(bytes);
                                if String::from_utf8_lossy(&seen).contains(ready) {
                                    tell.take().map(|tell| tell.send(()));
                                }
                            }
                        })
                        .await;
                });
                told.await.with_context(|| format!("`{line}` in pod {pod} ended before it was ready"))?;
                Ok(Server::Task(task))
            }
        }
    }
}

/// Our own programs are beside this one, and not in this machine's PATH.
fn own(exec: &Exec) -> anyhow::Result<Exec> {
    let probe = Programs::locate().find(Program::Probe)?;
    let beside = probe.parent().context("a program is in a directory")?;
    let path = std::env::var("PATH").unwrap_or_default();
    Ok(exec.clone().env("PATH", format!("{}:{path}", beside.display())))
}
