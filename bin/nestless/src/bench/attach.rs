//! `nestless bench attach`

use super::{Common, lab_name};
use crate::progress::Display;
use nestless_bench::attach::{Options, run};
use nestless_lab::Lab;
use std::process::ExitCode;

/// Measure how long a pod waits for its network: warm, cold, and by the reference bridge plugin, in one guest.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// How often each is measured.
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// How many bursts of eight pods at once.
    #[arg(long, default_value_t = 5)]
    bursts: usize,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let display = Display::new();
        let watch = display.watch();
        let options = Options { vmm: self.common.vmm.into(), rounds: self.rounds, bursts: self.bursts };
        let builder = Lab::builder(lab_name()).progress(watch.clone());
        let tell = move |step: &str| watch.step(step);
        self.common.show(display, Box::pin(run(&options, &tell, builder))).await
    }
}
