//! Two runs of one bench, side by side, and what of it may be called a change.
//!
//! Of two runs of the same programs on the same machine, at most one pair in twenty has any row called a change: each row's
//! rounds are put to an exact [rank test](crate::rank_test), and the rows pay for their number.

mod comparison;
mod error;
mod judge;
mod likeness;
mod row;
#[cfg(test)]
mod tests;

pub use comparison::{Change, Comparison, Verdict};
pub use error::CompareError;

use crate::report::Report;
use row::Row;

/// Whether runs may be compared that were not made alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// They may not.
    Required,
    /// They may: what differs is what the caller asks for, or knows of. It is told.
    Waived,
}

/// Compares `after` with `before`.
///
/// # Errors
/// When that would say nothing.
pub fn compare(before: &Report, after: &Report, likeness: Likeness) -> Result<Comparison, CompareError> {
    likeness::check(before, after)?;
    let mut cautions = likeness::differences(before, after);
    if likeness == Likeness::Required && !cautions.is_empty() {
        return Err(CompareError::Unlike { differences: cautions });
    }
    cautions.extend(likeness::remarks(before, after));
    let mut rows = Vec::new();
    for (old, new) in likeness::metrics(before, after) {
        let (old, new) = ((old, before.rounds), (new, after.rounds));
        rows.extend(old.0.sides.iter().filter_map(|series| Row::of(&series.side, old, new)));
    }
    Ok(judge::judge(&rows, cautions))
}
