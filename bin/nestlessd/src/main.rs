//! The host daemon: gives the pods of every VM on this host NICs of their own.

use anyhow::Context as _;
use clap::Parser;
use std::{io::Write as _, path::PathBuf, process::ExitCode};

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
    /// Read the configuration, say all that is wrong with it and which of its subnets others on this host have, and stop: exit
    /// code 1 if anything is.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match serve(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "nestlessd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let config = nestlessd::Config::read(&arguments.config)?;
    config.look(&arguments.config)?;
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
    runtime.block_on(nestlessd::run(&arguments.config, config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// The manual page is written by hand.
    #[test]
    fn every_option_is_in_the_page() {
        let page = include_str!("../../../docs/man/nestlessd.8").replace("\\-", "-");
        let mut command = Arguments::command();
        command.build();
        for argument in command.get_arguments() {
            let long = argument.get_long().expect("there are no arguments without a name");
            assert!(page.contains(&format!("--{long}")), "nestlessd.8 has nothing of --{long}");
            for default in argument.get_default_values().iter().filter_map(|value| value.to_str()) {
                assert!(
                    default == "false" || page.contains(default),
                    "nestlessd.8: --{long} is {default} by default"
                );
            }
            if let Some(variable) = argument.get_env().and_then(|name| name.to_str()) {
                assert!(page.contains(variable), "nestlessd.8 has nothing of {variable}");
            }
        }
        let known: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
        let told = page.split("--").skip(1).map(|rest| {
            rest.split(|letter: char| !letter.is_ascii_lowercase() && letter != '-')
                .next()
                .unwrap_or_default()
        });
        for word in told.filter(|word| !word.is_empty()) {
            assert!(known.contains(&word), "nestlessd.8: there is no --{word}");
        }
    }
}
