//! A side of a metric, in both runs, as it can be judged.
//!
//! The figures of two runs differ by what the machine did meanwhile. The sides of one run have that in common, so a side is
//! judged by its ratio to the side that it is measured by, within each round. That side itself, the yardstick, shows how
//! far the runs were alike.

use crate::{
    metric::{Metric, Series, Unit},
    statistics::{batches, by_round, median},
};

/// More tell no more apart, and rounds that follow each other are not wholly independent.
const BATCHES: usize = 20;

/// What a row's claim rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The ratio to another side.
    Ratio,
    /// Others are measured by it, and it by none.
    Yardstick,
    /// Neither: the figure as it is.
    Alone,
}

/// One side of one metric in both runs.
pub(super) struct Row<'a> {
    pub(super) metric: &'a str,
    pub(super) unit: Unit,
    pub(super) kind: Kind,
    /// The side that it is measured by.
    pub(super) by: Option<&'a str>,
    pub(super) before: Figures<'a>,
    pub(super) after: Figures<'a>,
}

/// Of one run.
pub(super) struct Figures<'a> {
    series: &'a Series,
    /// What is judged, a value for each round.
    rounds: Vec<f64>,
}

impl<'a> Row<'a> {
    /// `None` where only one run has the side.
    pub(super) fn of(
        side: &'a str,
        (old, old_rounds): (&'a Metric, usize),
        (new, new_rounds): (&'a Metric, usize),
    ) -> Option<Self> {
        let mut known = old.ratios.iter().filter(|ratio| ratio.side == side).map(|ratio| ratio.to.as_str());
        let by = known.find(|to| old.side(to).is_some() && new.side(to).is_some());
        let kind = match by {
            Some(_) => Kind::Ratio,
            None if old.ratios.iter().any(|ratio| ratio.to == side) => Kind::Yardstick,
            None => Kind::Alone,
        };
        let figures = |metric: &'a Metric, rounds| {
            let series = metric.side(side).filter(|series| !series.samples.is_empty())?;
            Some(Figures { series, rounds: values(series, by.and_then(|by| metric.side(by)), rounds) })
        };
        let (before, after) = (figures(old, old_rounds)?, figures(new, new_rounds)?);
        Some(Self { metric: &old.name, unit: old.unit, kind, by, before, after })
    }

    pub(super) fn side(&self) -> &'a str {
        &self.before.series.side
    }
}

impl Figures<'_> {
    /// Of the samples as they are.
    pub(super) fn median(&self) -> f64 {
        median(&self.series.samples).unwrap_or_default()
    }

    /// Of what is judged.
    pub(super) fn judged(&self) -> f64 {
        median(&self.rounds).unwrap_or(f64::NAN)
    }

    pub(super) fn rounds(&self) -> usize {
        self.rounds.len()
    }

    /// For the test.
    pub(super) fn batches(&self) -> Vec<f64> {
        batches(&self.rounds, BATCHES)
    }
}

/// Nothing is divided by 0: such a round tells nothing.
fn values(series: &Series, base: Option<&Series>, rounds: usize) -> Vec<f64> {
    let Some(base) = base else { return by_round(&series.samples, rounds) };
    let ratios: Vec<f64> =
        series.samples.iter().zip(&base.samples).map(|(sample, base)| sample / base).collect();
    by_round(&ratios, rounds).into_iter().filter(|ratio| ratio.is_finite()).collect()
}
