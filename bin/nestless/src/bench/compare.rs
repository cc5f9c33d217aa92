//! `nestless bench compare`

use crate::output;
use anyhow::{Context as _, ensure};
use nestless_bench::{
    Change, Comparison, Likeness, Report, Verdict, compare,
    report::{number, quantity},
};
use nestless_page::Table;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Compare two runs of one bench, as `--json` wrote them.
///
/// A side is judged by its ratio, within each round, to the side of the same run that it is measured by. Of two runs of the
/// same programs, one pair in twenty at most has any row that is called beyond noise. Exit code 1: the runs cannot be
/// compared, or have too few rounds for any row to be judged.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The earlier run.
    before: PathBuf,
    /// The later one.
    after: PathBuf,
    /// Compare them even if they are of other machines or parameters.
    #[arg(long)]
    unlike: bool,
    /// Print JSON (`nestless schema bench-compare`).
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let likeness = if self.unlike { Likeness::Waived } else { Likeness::Required };
        let (before, after) = (read(&self.before)?, read(&self.after)?);
        let comparison = compare(&before, &after, likeness)
            .with_context(|| format!("compare {} with {}", self.after.display(), self.before.display()))?;
        if self.json {
            output::print_json(&comparison)?;
        } else {
            output::print(&render(&comparison))?;
        }
        let judged = |change: &Change| matches!(change.verdict, Verdict::Changed | Verdict::Noise);
        ensure!(
            comparison.changes.iter().any(judged),
            "no row could be judged: measure again, with --rounds {} or more",
            comparison.rounds_needed
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    ensure!(!text.trim_ascii().is_empty(), "{} is empty", path.display());
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not what `nestless bench --json` writes", path.display()))
}

fn render(comparison: &Comparison) -> String {
    let mut table = Table::new([
        "METRIC",
        "SIDE",
        "BEFORE",
        "AFTER",
        "RATIO",
        "OF",
        "BEFORE",
        "AFTER",
        "CHANGE",
        "BEYOND NOISE",
    ]);
    for change in &comparison.changes {
        let mut row = vec![
            change.metric.clone(),
            change.side.clone(),
            quantity(change.before, change.unit),
            quantity(change.after, change.unit),
            number(change.ratio),
        ];
        row.extend(match &change.by {
            Some(by) => [
                by.clone(),
                format!("{:.3}", change.judged_before),
                format!("{:.3}", change.judged_after),
                number(change.judged_after / change.judged_before),
            ],
            None => ["-", "-", "-", "-"].map(str::to_owned),
        });
        row.push(verdict(change));
        table.add_row(row);
    }
    let cautions = comparison.cautions.iter().map(|caution| format!("note: {caution}\n"));
    table.terminal() + &cautions.collect::<String>()
}

fn verdict(change: &Change) -> String {
    match change.verdict {
        Verdict::Changed => "yes".to_owned(),
        Verdict::Noise => "no".to_owned(),
        Verdict::TooFewSamples => {
            let [before, after] = change.rounds;
            format!("too few samples ({before} and {after} rounds)")
        }
        Verdict::Yardstick => "yardstick".to_owned(),
        Verdict::MachineDiffers => "unknown: the machine differs".to_owned(),
    }
}
