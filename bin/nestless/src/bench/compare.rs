//! `nestless bench compare`

use crate::output;
use anyhow::Context as _;
use nestless_bench::{
    Comparison, Report, compare,
    report::{number, quantity},
};
use nestless_page::Table;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Compare two runs of one bench, as `--json` wrote them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The earlier run.
    before: PathBuf,
    /// The later one.
    after: PathBuf,
    /// Print JSON (`nestless schema bench-compare`).
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let comparison = compare(&read(&self.before)?, &read(&self.after)?);
        if self.json {
            output::print_json(&comparison)?;
        } else {
            output::print(&render(&comparison))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not what `nestless bench --json` writes", path.display()))
}

fn render(comparison: &Comparison) -> String {
    let mut table = Table::new(["METRIC", "SIDE", "BEFORE", "AFTER", "RATIO", "BEYOND NOISE"]);
    for change in &comparison.changes {
        table.add_row([
            change.metric.clone(),
            change.side.clone(),
            quantity(change.before, change.unit),
            quantity(change.after, change.unit),
            number(change.ratio),
            if change.significant { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let cautions = comparison.cautions.iter().map(|caution| format!("not alike: {caution}\n"));
    table.terminal() + &cautions.collect::<String>()
}
