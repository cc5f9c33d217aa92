//! What was measured: a quantity, and the samples of every side of it, round by round.

use crate::statistics::{Summary, by_round, median, median_interval};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// What a sample counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unit {
    /// Milliseconds; less is better.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds; less is better.
    #[serde(rename = "us")]
    Microseconds,
    /// 10^6 bits in a second; more is better.
    #[serde(rename = "Mbit/s")]
    MegabitsPerSecond,
    /// Seconds of processor time for 2^30 bytes; less is better.
    #[serde(rename = "s/GiB")]
    SecondsPerGib,
    /// How many in a second; more is better.
    #[serde(rename = "1/s")]
    PerSecond,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::MegabitsPerSecond => "Mbit/s",
            Self::SecondsPerGib => "s/GiB",
            Self::PerSecond => "1/s",
        })
    }
}

/// One quantity, measured on several sides in turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Such as "tcp-throughput-out".
    pub name: String,
    /// Of the samples.
    pub unit: Unit,
    /// What was compared.
    pub sides: Vec<Series>,
    /// Of each side to the one it is measured by.
    pub ratios: Vec<Ratio>,
}

/// The samples of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Such as "brfusion".
    pub side: String,
    /// Of the samples.
    pub summary: Summary,
    /// As they were taken; the same place in two series is the same round.
    pub samples: Vec<f64>,
}

/// One side by another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ratio {
    /// The numerator.
    pub side: String,
    /// The denominator.
    pub to: String,
    /// Of the two medians.
    pub of_medians: f64,
    /// Of the two samples of each round, summarized.
    pub by_round: Summary,
    /// Least and most of an interval that holds the true median of `by_round` with a probability of 95 % or more, a round
    /// counting once however often it was sampled; null below six rounds, which cannot tell it.
    pub interval_95: Option<[f64; 2]>,
    /// The same, sample by sample.
    pub rounds: Vec<f64>,
}

impl Metric {
    /// The samples of `side`.
    pub fn side(&self, side: &str) -> Option<&Series> {
        self.sides.iter().find(|series| series.side == side)
    }

    /// `side` by whatever it is measured by.
    pub fn ratio(&self, side: &str) -> Option<&Ratio> {
        self.ratios.iter().find(|ratio| ratio.side == side)
    }
}

impl Ratio {
    /// `None` when either has no samples.
    fn of(side: &str, samples: &[f64], to: &str, base: &[f64], rounds: usize) -> Option<Self> {
        let ratios: Vec<f64> = samples.iter().zip(base).map(|(sample, base)| sample / base).collect();
        Some(Self {
            side: side.to_owned(),
            to: to.to_owned(),
            of_medians: median(samples)? / median(base)?,
            by_round: Summary::of(&ratios)?,
            interval_95: median_interval(&by_round(&ratios, rounds)).map(<[f64; 2]>::from),
            rounds: ratios,
        })
    }
}

/// Collects samples as they are taken.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    order: Vec<(&'static str, Unit)>,
    samples: BTreeMap<(&'static str, &'static str), Vec<f64>>,
    sides: Vec<&'static str>,
}

impl Recorder {
    /// Keeps a sample. Metrics and sides appear in the order of their first samples.
    pub fn keep(&mut self, metric: &'static str, unit: Unit, side: &'static str, sample: f64) {
        if !self.order.iter().any(|(known, _)| *known == metric) {
            self.order.push((metric, unit));
        }
        if !self.sides.contains(&side) {
            self.sides.push(side);
        }
        self.samples.entry((metric, side)).or_default().push(sample);
    }

    /// The metrics of a bench of so many rounds, with the ratios of `pairs` (side, by which) wherever both were measured.
    pub fn metrics(&self, pairs: &[(&str, &str)], rounds: usize) -> Vec<Metric> {
        let metric = |&(name, unit): &(&'static str, Unit)| {
            let of = |side: &str| {
                let found = self.samples.iter().find(|((m, s), _)| *m == name && *s == side);
                found.map(|(_, samples)| samples.as_slice())
            };
            let sides = self.sides.iter().filter_map(|&side| {
                let samples = of(side)?;
                Some(Series {
                    side: side.to_owned(),
                    summary: Summary::of(samples)?,
                    samples: samples.to_vec(),
                })
            });
            let ratios =
                pairs.iter().filter_map(|(side, to)| Ratio::of(side, of(side)?, to, of(to)?, rounds));
            Metric { name: name.to_owned(), unit, sides: sides.collect(), ratios: ratios.collect() }
        };
        self.order.iter().map(metric).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_pairs_the_samples_of_a_round() {
        let mut recorder = Recorder::default();
        for (a, b) in [(10.0, 20.0), (1.0, 4.0), (30.0, 30.0)] {
            recorder.keep("time", Unit::Milliseconds, "a", a);
            recorder.keep("time", Unit::Milliseconds, "b", b);
        }
        recorder.keep("alone", Unit::Microseconds, "a", 1.0);
        let metrics = recorder.metrics(&[("a", "b")], 3);
        assert_eq!(metrics.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["time", "alone"]);
        let ratio = metrics[0].ratio("a").unwrap();
        assert_eq!(ratio.rounds, [0.5, 0.25, 1.0]);
        assert_eq!((ratio.of_medians, ratio.by_round.p50, ratio.interval_95), (0.5, 0.5, None));
        assert!(metrics[1].ratios.is_empty() && metrics[1].sides.len() == 1);
        assert_eq!(metrics[0].side("b").unwrap().samples, [20.0, 4.0, 30.0]);
    }

    #[test]
    fn an_interval_counts_rounds_and_no_samples() {
        let interval = |rounds: u32, each: u32| {
            let mut recorder = Recorder::default();
            for sample in 0..rounds * each {
                recorder.keep("time", Unit::Milliseconds, "a", f64::from(sample / each + 1));
                recorder.keep("time", Unit::Milliseconds, "b", 1.0);
            }
            let metrics = recorder.metrics(&[("a", "b")], rounds as usize);
            metrics[0].ratio("a").unwrap().interval_95
        };
        assert_eq!([interval(1, 1), interval(2, 10), interval(5, 20)], [None; 3]);
        assert_eq!([interval(6, 1), interval(6, 10)], [Some([1.0, 6.0]); 2]);
    }
}
