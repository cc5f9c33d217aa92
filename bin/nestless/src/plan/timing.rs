//! `nestless plan bench`: how long planning takes as a fleet grows, and how good the plans are.

use super::strategy::Only;
use crate::output;
use nestless_page::Table;
use nestless_placement::{Plan, Terms};
use nestless_plan::analysis::{Question, analyse};
use nestless_plan::catalogue::{Reserve, builtin};
use nestless_plan::generate;
use schemars::JsonSchema;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Instant;

/// Clusters of many nodes are not made of the smallest: sizes below this are not bought.
const LEAST_CPU_MILLI: u64 = 16_000;

/// Measure planning on generated fleets, each of one client, that buys m5 VMs of 16 vCPUs and more.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Sizes of the fleets, in pods.
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_value = "12500,25000,50000,100000",
        value_parser = fleet_size)]
    pods: Vec<usize>,
    /// The same seed makes the same fleets.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    only: Only,
    /// Print JSON (`nestless schema plan-bench`).
    #[arg(long)]
    json: bool,
}

/// `nestless plan bench --json`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Price list, of which sizes of 16 vCPUs and more are bought.
    catalogue: String,
    /// "best of all", or a strategy's name.
    strategy: String,
    /// One for each fleet.
    points: Vec<Point>,
}

/// One fleet.
#[derive(Debug, Serialize, JsonSchema)]
struct Point {
    pods: usize,
    containers: usize,
    /// Of the best split plan.
    vms: usize,
    /// For all plans and bounds together.
    seconds: f64,
    /// Time for each pod and doubling of their number: level when time grows as n log n.
    ns_per_n_log2_n: f64,
    /// Dollars an hour.
    as_is: f64,
    /// Dollars an hour.
    whole: f64,
    /// Dollars an hour.
    split: f64,
    /// Dollars an hour.
    bound: f64,
    /// How far the split plan is above the bound.
    gap_percent: f64,
}

/// A fleet of none is planned in no time, and would leave no row.
fn fleet_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a fleet has 1 pod or more".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut offer = builtin("m5").ok_or_else(|| anyhow::anyhow!("the price list m5 is built in"))?;
        offer.sizes.retain(|size| size.capacity.cpu_milli >= LEAST_CPU_MILLI);
        let catalogue = offer.catalogue(Reserve::Eks, &[])?;
        let chosen = self.only.strategy();
        let question = Question {
            catalogue: &catalogue,
            terms: Terms::default(),
            strategy: chosen.as_deref(),
            lenient: false,
        };
        let mut points = Vec::new();
        for &pods in &self.pods {
            let fleet = generate::fleet(pods, self.seed);
            let begin = Instant::now();
            let outcomes = analyse(&fleet, question, &|| ())?;
            let seconds = begin.elapsed().as_secs_f64();
            let Some(outcome) = outcomes.first() else { continue };
            let comparison = &outcome.comparison;
            let cost = |plan: &Plan| plan.cost(&catalogue).dollars();
            let bound = comparison.split_bound.cost.dollars();
            points.push(Point {
                pods,
                containers: fleet.containers(),
                vms: comparison.split.vms.len(),
                seconds,
                ns_per_n_log2_n: seconds * 1e9 / (pods as f64 * (pods as f64).log2().max(1.0)),
                as_is: cost(&comparison.as_is),
                whole: cost(&comparison.whole),
                split: cost(&comparison.split),
                bound,
                gap_percent: if bound > 0.0 { (cost(&comparison.split) / bound - 1.0) * 100.0 } else { 0.0 },
            });
        }
        let strategy = self.only.name().unwrap_or("best of all").to_owned();
        let report = Report { catalogue: offer.name, strategy, points };
        if self.json {
            output::print_json(&report)?
        } else {
            output::print(&text(&report))?
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(report: &Report) -> String {
    let head =
        ["PODS", "CONTAINERS", "VMS", "SECONDS", "NS/(N LOG2 N)", "AS-IS", "WHOLE", "SPLIT", "BOUND", "GAP"];
    let mut table = Table::new(head);
    for point in &report.points {
        let usd = |amount: f64| format!("${amount:.2}");
        table.add_row([
            point.pods.to_string(),
            point.containers.to_string(),
            point.vms.to_string(),
            format!("{:.2}", point.seconds),
            format!("{:.0}", point.ns_per_n_log2_n),
            usd(point.as_is),
            usd(point.whole),
            usd(point.split),
            usd(point.bound),
            format!("{:.2} %", point.gap_percent),
        ]);
    }
    table.terminal()
}
