//! The agent in the VM: answers CNI calls, asks the host for NICs, and brings them into the pods.

mod channel;
mod config;
mod core;
mod front;
mod host_client;

use anyhow::Context as _;
use clap::Parser as _;
use config::Config;
use front::cni;
use nestless_model::cni::Ended;
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs, io::Write as _, os::unix::fs::DirBuilderExt as _, process::ExitCode, sync::Arc, time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// How long calls that have begun may take after SIGTERM. What is cut off is taken back by the next agent.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match serve(Config::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "nestless-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    nestless_support::telemetry::init("info")?;
    // Pods want the memory and the CPUs: two threads serve any number of calls.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let _lock = lock(&config)?;
    let dialer = channel::Dialer::new(&config)?;
    let boot_id = boot_id()?;

    let (host, slot) = host_client::HostClient::new(config.deadlines());
    let (agent, dead) = core::Agent::new(&config, host, boot_id.clone()).await?;
    agent.resume().await;
    let socket = config.run_dir.join("agent.sock");
    let listener = cni::listen(&socket)?;
    agent.bury_ended(&Ended::directory(&socket)).await?;

    let calls = TaskTracker::new();
    let stop = CancellationToken::new();
    let _session = background(host_client::keep_connected(dialer, boot_id, slot));
    let _follower = background(Arc::clone(&agent).follow_host());
    let _settler = background(Arc::clone(&agent).settle_all());
    let _keeper = background(Arc::clone(&agent).keep_ports());
    let mut watch = background(Arc::clone(&agent).watch(dead));
    let mut server = background(cni::serve(listener, agent, calls.clone(), stop.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), run_dir = %config.run_dir.display(), "serving CNI calls");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = &mut watch => anyhow::bail!("the kernel's events ended: the agent must be started again"),
        _ = &mut server => anyhow::bail!("the CNI socket ended: the agent must be started again"),
    }
    stop.cancel();
    calls.close();
    if tokio::time::timeout(DRAIN_DEADLINE, calls.wait()).await.is_err() {
        tracing::warn!(calls = calls.len(), "stopping in the middle of CNI calls");
    }
    tracing::info!("stopped; pods keep their NICs");
    Ok(())
}

fn background(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// Two agents would take each other's NICs. The kernel lets the lock go with the process, however it ends.
fn lock(config: &Config) -> anyhow::Result<Flock<fs::File>> {
    let directory = &config.run_dir;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .with_context(|| format!("create {}", directory.display()))?;
    let path = directory.join("agent.lock");
    let file = fs::File::create(&path).with_context(|| format!("create {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("another nestless-agent runs in {}", directory.display()))
}

fn boot_id() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// The manual page is written by hand.
    #[test]
    fn every_option_is_in_the_page() {
        let page = include_str!("../../../docs/man/nestless-agent.8").replace("\\-", "-");
        let mut command = Config::command();
        command.build();
        for argument in command.get_arguments() {
            let long = argument.get_long().expect("there are no arguments without a name");
            assert!(page.contains(&format!("--{long}")), "nestless-agent.8 has nothing of --{long}");
            for default in argument.get_default_values().iter().filter_map(|value| value.to_str()) {
                assert!(
                    default == "false" || page.contains(default),
                    "nestless-agent.8: --{long} is {default} by default"
                );
            }
            if let Some(variable) = argument.get_env().and_then(|name| name.to_str()) {
                assert!(page.contains(variable), "nestless-agent.8 has nothing of {variable}");
            }
        }
        let known: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
        let told = page.split("--").skip(1).map(|rest| {
            rest.split(|letter: char| !letter.is_ascii_lowercase() && letter != '-')
                .next()
                .unwrap_or_default()
        });
        for word in told.filter(|word| !word.is_empty()) {
            assert!(known.contains(&word) || word == "net", "nestless-agent.8: there is no --{word}");
        }
    }
}
