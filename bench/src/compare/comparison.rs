//! What a comparison says.

use crate::metric::Unit;
use schemars::JsonSchema;
use serde::Serialize;

/// Every side that both runs measured.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// In the first run's order.
    pub changes: Vec<Change>,
    /// What makes figures hard to compare: other machines and parameters, where that was waived; yardsticks that differ;
    /// rows that one run only has.
    pub cautions: Vec<String>,
    /// With so many rounds in each run every row could be judged.
    pub rounds_needed: usize,
}

/// One side of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Change {
    /// The metric.
    pub metric: String,
    /// The side.
    pub side: String,
    /// Of both medians.
    pub unit: Unit,
    /// Median of the first run.
    pub before: f64,
    /// Median of the second.
    pub after: f64,
    /// The second by the first.
    pub ratio: f64,
    /// The side of the same run that it is measured by, if there is one.
    pub by: Option<String>,
    /// What was judged: the median of the rounds' ratios to that side, or of the rounds themselves, in the first run.
    pub judged_before: f64,
    /// In the second run.
    pub judged_after: f64,
    /// Rounds of the first run, and of the second.
    pub rounds: [usize; 2],
    /// How likely a difference as large is in any row where nothing has changed; null where that was not asked.
    pub p_value: Option<f64>,
    /// What may be said.
    pub verdict: Verdict,
    /// The verdict is "changed".
    pub significant: bool,
}

/// What may be said of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Beyond what chance does in one of twenty pairs of runs.
    Changed,
    /// Chance does as much.
    Noise,
    /// Whatever came out, it could be chance.
    TooFewSamples,
    /// What others are measured by: it tells how alike the circumstances were.
    Yardstick,
    /// It has nothing in its own run to be measured by, and the yardsticks say that the machine was another.
    MachineDiffers,
}
