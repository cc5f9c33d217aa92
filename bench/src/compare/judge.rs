//! What may be said of the rows, together.

use super::{
    comparison::{Change, Comparison, Verdict},
    row::{Figures, Kind, Row},
};
use crate::rank_test::{least_p_value, p_value, together};

/// Chance alone may make so large a share of pairs of alike runs have a row that is called a change. What is promised is 5 %:
/// the rest is for what a test cannot know, such as rounds that are not wholly independent.
const LEVEL: f64 = 0.01;

/// Fewer hold no interval of 95 % ([`crate::Ratio::interval_95`]).
const FEWEST_ROUNDS: usize = 6;
/// Beyond it no row needs more: the least that a test of so many batches can say is enough for thousands of rows.
const MOST_NEEDED: usize = 20;

pub(super) fn judge(rows: &[Row<'_>], mut cautions: Vec<String>) -> Comparison {
    let of = |wanted: &[Kind]| -> Vec<usize> {
        (0..rows.len()).filter(|&index| wanted.contains(&rows[index].kind)).collect()
    };
    let yardsticks = of(&[Kind::Yardstick]);
    let differ: Vec<usize> = p_values(rows, &yardsticks)
        .into_iter()
        .filter_map(|(index, p)| (p < LEVEL).then_some(index))
        .collect();
    if !differ.is_empty() {
        let told = differ.iter().map(|&index| {
            let row = &rows[index];
            format!("{} of {} {:.2} times", row.metric, row.side(), ratio(row))
        });
        let told = told.collect::<Vec<_>>().join(", ");
        cautions.push(format!(
            "what others are measured by differs itself ({told} what it was): the machine was another, or was not left \
             alone"
        ));
    }
    let claims = if differ.is_empty() { of(&[Kind::Ratio, Kind::Alone]) } else { of(&[Kind::Ratio]) };
    let found = p_values(rows, &claims);
    let change = |(index, row): (usize, &Row<'_>)| {
        let p_value = found.iter().find(|(judged, _)| *judged == index).map(|(_, p)| *p);
        let verdict = match (row.kind, p_value) {
            (Kind::Yardstick, _) => Verdict::Yardstick,
            (Kind::Alone, _) if !differ.is_empty() => Verdict::MachineDiffers,
            (_, None) => Verdict::TooFewSamples,
            (_, Some(p)) if p < LEVEL => Verdict::Changed,
            (_, Some(_)) => Verdict::Noise,
        };
        describe(row, verdict, p_value)
    };
    Comparison {
        changes: rows.iter().enumerate().map(change).collect(),
        cautions,
        rounds_needed: rounds_needed(of(&[Kind::Ratio, Kind::Alone]).len()),
    }
}

fn describe(row: &Row<'_>, verdict: Verdict, p_value: Option<f64>) -> Change {
    Change {
        metric: row.metric.to_owned(),
        side: row.side().to_owned(),
        unit: row.unit,
        before: row.before.median(),
        after: row.after.median(),
        ratio: ratio(row),
        by: row.by.map(str::to_owned),
        judged_before: row.before.judged(),
        judged_after: row.after.judged(),
        rounds: [row.before.rounds(), row.after.rounds()],
        p_value,
        verdict,
        significant: verdict == Verdict::Changed,
    }
}

fn ratio(row: &Row<'_>) -> f64 {
    row.after.median() / row.before.median()
}

/// Of those of the rows that have rounds enough to say anything, each with what it is among the others.
fn p_values(rows: &[Row<'_>], judged: &[usize]) -> Vec<(usize, f64)> {
    let enough = |figures: &Figures<'_>| figures.rounds() >= FEWEST_ROUNDS;
    let mut judged: Vec<usize> = judged.to_vec();
    judged.retain(|&index| enough(&rows[index].before) && enough(&rows[index].after));
    let batches =
        judged.iter().map(|&index| (index, rows[index].before.batches(), rows[index].after.batches()));
    let mut batches: Vec<_> = batches.collect();
    let all = judged.len();
    batches.retain(|(_, one, other)| can_tell(one.len(), other.len(), all));
    let alone: Vec<f64> = batches.iter().map(|(_, one, other)| p_value(one, other)).collect();
    batches.iter().map(|(index, ..)| *index).zip(together(&alone)).collect()
}

fn can_tell(one: usize, other: usize, rows: usize) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
    let rows = rows as f64;
    least_p_value(one, other) * rows < LEVEL
}

fn rounds_needed(rows: usize) -> usize {
    (FEWEST_ROUNDS..MOST_NEEDED).find(|&rounds| can_tell(rounds, rounds, rows)).unwrap_or(MOST_NEEDED)
}
