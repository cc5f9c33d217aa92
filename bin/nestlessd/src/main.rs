//! The host daemon: gives the pods of every VM on this host NICs of their own.

mod agents;
mod channel;
mod config;
mod daemon;
mod notify;
mod serve;
mod service;

use anyhow::Context as _;
use clap::Parser;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// The Nestless host daemon.
#[derive(Debug, Parser)]
#[command(name = "nestlessd", version)]
struct Arguments {
    /// The daemon's configuration.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/nestless/nestlessd.toml",
        env = "NESTLESSD_CONFIG"
    )]
    config: PathBuf,
    /// Read the configuration, say whether it is right, and stop.
    #[arg(long)]
    check: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = config::Config::read(&arguments.config)?;
    if arguments.check {
        return Ok(());
    }
    nestless_support::telemetry::init("info")?;
    // Work is short and waits for the kernel or for QEMU; two threads serve a host, and keep its memory small.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_stack_size(1 << 20)
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(run(config))
}

async fn run(config: config::Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut daemon = daemon::Daemon::start(&config).await?;
    let servers = serve::start(&config, &daemon.host())?;
    notify::ready(&format!("serving {} VMs", config.vms.len()));
    info!(vms = config.vms.len(), networks = config.networks.len(), "ready");
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        failure = daemon.failure() => Err(failure),
    };
    notify::stopping();
    info!("stopping; pods keep their NICs");
    servers.stop().await;
    daemon.stop().await;
    ended
}
