//! `nestless bench loopback`

use super::{Common, lab_name};
use crate::progress::Display;
use nestless_bench::loopback::{Options, run};
use nestless_lab::{Lab, Way};
use std::{process::ExitCode, time::Duration};

/// Measure what it costs that two containers of one pod are in two VMs, by every way between them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// How often each way is measured.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// How long each transfer takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    transfer: u64,
    /// How often requests and connections are measured on each way in a round.
    #[arg(long, default_value_t = 3)]
    series: usize,
    /// How long requests, or connections, are made one after the other each time.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    requests: u64,
    /// Only these ways: those whose ratio is looked for. Without this, all.
    #[arg(long, value_delimiter = ',', value_name = "WAY", default_values_t = Way::ALL, hide_default_value = true)]
    ways: Vec<Way>,
    /// Measure a pod of so many fractions too, beside the one of two.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=16))]
    fractions: u8,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let display = Display::new();
        let watch = display.watch();
        let options = Options {
            vmm: self.common.vmm.into(),
            rounds: self.rounds,
            transfer: Duration::from_secs(self.transfer),
            requests: Duration::from_millis(self.requests),
            series: self.series,
            ways: distinct(self.ways),
            fractions: usize::from(self.fractions),
        };
        let builder = Lab::builder(lab_name()).progress(watch.clone());
        let tell = move |step: &str| watch.step(step);
        self.common.show(display, Box::pin(run(&options, &tell, builder))).await
    }
}

/// A way that is named twice is built once.
fn distinct(ways: Vec<Way>) -> Vec<Way> {
    let mut distinct = Vec::new();
    for way in ways {
        if !distinct.contains(&way) {
            distinct.push(way);
        }
    }
    distinct
}
