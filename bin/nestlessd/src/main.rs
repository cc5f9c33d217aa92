//! The host daemon: gives the pods of every VM on this host NICs of their own.

use anyhow::Context as _;
use clap::Parser;
use std::path::PathBuf;

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
    /// Read the configuration, say whether it is right and its subnets are free on this host, and stop.
    #[arg(long)]
    check: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = nestlessd::Config::read(&arguments.config)?;
    if arguments.check {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return runtime.context("start the runtime")?.block_on(nestlessd::check_host(&config));
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
    runtime.block_on(nestlessd::run(config))
}
