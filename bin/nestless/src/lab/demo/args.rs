//! What can be asked for, and how it is shown.

use super::{picture, show, split, stage::Stage};
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
    /// Leave the lab as it is at the end, to be looked at, until `nestless lab down`.
    #[arg(long)]
    keep: bool,
    /// Print JSON (`nestless schema demo`, `demo-split`).
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let display = Display::new();
        let progress = display.watch();
        let what = if self.split { "split" } else { "demo" };
        let stage =
            Stage { name: format!("{what}{}", std::process::id()), vmm: self.vmm.into(), keep: self.keep };
        if self.split {
            let demo = Box::pin(split::show(&stage, progress));
            return self.present(&stage, display, demo, split::draw).await;
        }
        let demo = Box::pin(show(&stage, progress));
        self.present(&stage, display, demo, picture::draw).await
    }

    /// Waits for a demonstration, and shows it.
    async fn present<D: Serialize>(
        &self,
        stage: &Stage,
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
            display.finish(&format!("interrupted: {}", stage.left()));
            return Ok(Shutdown::exit_code());
        };
        display.finish(&format!("done: {}", stage.left()));
        if self.json {
            output::print_json(&demo)?;
        } else {
            output::print(&draw(&demo))?;
            output::print(&stage.next_steps())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
