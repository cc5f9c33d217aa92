//! The host daemon, as a library of its own program and of what tests its doors: everything that reads outside input can be
//! called without a daemon.

mod agents;
mod allowance;
mod channel;
mod config;
mod config_fault;
mod config_world;
mod daemon;
mod guests;
#[cfg(test)]
mod manual;
mod notify;
mod reload;
mod serve;
mod service;
mod toml_section;
mod vms;

pub use config::Config;
pub use config_fault::{ConfigError, Fault};
pub use guests::serve_channel;
pub use service::{Refusal, input};

use anyhow::Context as _;
use daemon::Daemon;
use serve::Servers;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

/// Whether this host has what the configuration takes for free. Changes nothing.
///
/// # Errors
/// With every subnet that is in use, and by whom.
pub async fn check_host(config: &Config) -> anyhow::Result<()> {
    Ok(nestless_host::fabric::Fabric::new(&config.instance(), config.networks.clone())?.check().await?)
}

/// Serves until SIGTERM or SIGINT, or until something fails that the daemon cannot live without. Pods keep their NICs. With
/// SIGHUP it reads the configuration anew, from `path`.
///
/// # Errors
/// When it cannot start, or that failure.
pub async fn run(path: &Path, config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut daemon = Daemon::start(config).await?;
    let mut servers = serve::start(daemon.config(), &daemon.host())?;
    ready(daemon.config());
    let ended = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            failure = daemon.failure() => break Err(failure),
            _ = hang_up.recv() => {
                notify::reloading();
                match reload(path, &mut daemon, &mut servers).await {
                    Ok(()) => ready(daemon.config()),
                    Err(failure) => break Err(failure),
                }
            }
        }
    };
    notify::stopping();
    info!("stopping; pods keep their NICs");
    servers.stop().await;
    daemon.stop().await;
    ended
}

fn ready(config: &Config) {
    notify::ready(&format!("serving {} VMs", config.vms.len()));
    info!(vms = config.vms.len(), networks = config.networks.len(), "ready");
}

/// A configuration that cannot be used changes nothing, and is told.
async fn reload(path: &Path, daemon: &mut Daemon, servers: &mut Servers) -> anyhow::Result<()> {
    let refused = |why: anyhow::Error| error!("the configuration is as it was: {why:#}");
    let read = || -> anyhow::Result<_> {
        let new = Config::read(path)?;
        new.look(path)?;
        let plan = reload::plan(daemon.config(), &new).context("read the configuration anew")?;
        Ok((new, plan))
    };
    let (new, plan) = match read() {
        Ok(read) => read,
        Err(why) => {
            refused(why);
            return Ok(());
        }
    };
    let opening: Vec<_> = plan.opening().filter_map(|vm| new.vm(vm)).collect();
    let prepared = match servers.channels.prepare(&opening) {
        Ok(prepared) => prepared,
        Err(why) => {
            refused(why);
            return Ok(());
        }
    };
    for vm in plan.closing() {
        servers.channels.close(vm);
    }
    daemon.reload(new, &plan).await?;
    servers.channels.begin(prepared);
    let names = |vms: &[nestless_model::identity::VmName]| {
        vms.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    info!(
        added = names(&plan.added),
        removed = names(&plan.removed),
        changed = names(&plan.changed),
        "the configuration was read anew"
    );
    Ok(())
}
