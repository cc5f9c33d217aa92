//! What can be asked for, and how it is shown.

use super::{picture, show, split};
use crate::{bench::VmmName, output, progress::Display, shutdown::Shutdown};
use serde::Serialize;
use std::process::ExitCode;

/// Show what Nestless is for: two VMs, pods on both, traffic between them with and without a second network layer.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What runs the VMs.
    #[arg(long, value_enum, default_value_t)]
    vmm: VmmName,
    /// Show a split pod instead: a web server, an application and a database in three VMs, on one localhost.
    #[arg(long)]
    split: bool,
    /// Print JSON (`nestless schema demo`, `demo-split`).
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let display = Display::new();
        let (vmm, progress) = (self.vmm.into(), display.watch());
        if self.split {
            let demo = Box::pin(split::show(vmm, progress));
            return self.present(display, demo, split::draw).await;
        }
        let demo = Box::pin(show(vmm, progress));
        self.present(display, demo, picture::draw).await
    }

    /// Waits for a demonstration, and shows it.
    async fn present<D: Serialize>(
        &self,
        display: Display,
        demo: impl Future<Output = anyhow::Result<D>>,
        draw: impl Fn(&D) -> String,
    ) -> anyhow::Result<ExitCode> {
        let mut shutdown = Shutdown::watch()?;
        let outcome = tokio::select! {
            outcome = demo => Some(outcome?),
            () = shutdown.asked() => None,
        };
        let Some(demo) = outcome else {
            display.finish("interrupted: everything was removed");
            return Ok(Shutdown::exit_code());
        };
        display.finish("done: the lab is removed");
        if self.json {
            output::print_json(&demo)?;
        } else {
            output::print(&draw(&demo))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
