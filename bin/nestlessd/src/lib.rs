//! The host daemon, as a library of its own program and of what tests its doors: everything that reads outside input can be
//! called without a daemon.

mod agents;
mod allowance;
mod channel;
mod config;
mod daemon;
mod guests;
mod notify;
mod serve;
mod service;

pub use config::{Config, ConfigError, Fault};
pub use guests::serve_channel;
pub use service::{Refusal, input};

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// Serves until SIGTERM or SIGINT, or until something fails that the daemon cannot live without. Pods keep their NICs.
///
/// # Errors
/// When it cannot start, or that failure.
pub async fn run(config: Config) -> anyhow::Result<()> {
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
