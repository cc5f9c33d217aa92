//! What is said of samples. Nothing is averaged: a mean hides the tail, and one stray sample bends it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A set of samples in five numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// How many samples.
    pub count: usize,
    /// Half are not larger.
    pub p50: f64,
    /// 99 in 100 are not larger. Below 100 samples it is the largest.
    pub p99: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// Of `samples`, in any order; `None` without any.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        Some(Self { count: sorted.len(), p50: middle(&sorted), p99: nearest_rank(&sorted, 0.99), min, max })
    }
}

/// The middle sample, or the mean of the two middle ones; `None` without samples.
pub fn median(samples: &[f64]) -> Option<f64> {
    (!samples.is_empty()).then(|| middle(&sorted(samples)))
}

/// The smallest sample that a fraction `rank` (0 to 1) of all do not exceed; `None` without samples.
pub fn percentile(samples: &[f64], rank: f64) -> Option<f64> {
    (!samples.is_empty()).then(|| nearest_rank(&sorted(samples), rank))
}

/// How much of what is said of alike samples may be false.
pub(crate) const LEVEL: f64 = 0.05;

/// The narrowest pair of order statistics that holds the true median with a probability of 95 % or more, whatever the
/// distribution, by the binomial distribution itself. `None` below six samples: least and greatest of five hold it with
/// 93.75 % only.
pub(crate) fn median_interval(samples: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(samples);
    let cut = cut_off(sorted.len())?;
    Some((sorted[cut], sorted[sorted.len() - 1 - cut]))
}

/// How many of `count` samples may be left out at each end, so that the true median is beyond what is left with a
/// probability of at most [`LEVEL`].
fn cut_off(count: usize) -> Option<usize> {
    #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^52 samples")]
    let real = |number: usize| number as f64;
    // Of a fair coin's tosses, `index` are heads: in logarithms, since 2^-count is soon too small for a number.
    let mut log_probability = real(count) * 0.5_f64.ln();
    let mut beyond = 0.0;
    for index in 0..count {
        beyond += log_probability.exp();
        if 2.0 * beyond > LEVEL {
            return index.checked_sub(1);
        }
        log_probability += (real(count - index) / real(index + 1)).ln();
    }
    None
}

/// A value for each of `rounds`, from samples in the order in which they were taken: the median of those of a round, which
/// shares more than the sides that are compared, such as what else the machine did meanwhile, and so counts once. Samples
/// that were taken another number of times each count for themselves.
pub(crate) fn by_round(samples: &[f64], rounds: usize) -> Vec<f64> {
    let each = samples.len().checked_div(rounds).unwrap_or_default();
    if each < 2 || !samples.len().is_multiple_of(rounds) {
        return samples.to_vec();
    }
    samples.chunks(each).filter_map(median).collect()
}

/// The medians of at most `most` runs of neighbours, of lengths that differ by one at most: what changes slowly meets
/// neighbours alike.
pub(crate) fn batches(samples: &[f64], most: usize) -> Vec<f64> {
    let count = samples.len().min(most);
    let bound = |number: usize| number * samples.len() / count;
    (0..count).filter_map(|number| median(&samples[bound(number)..bound(number + 1)])).collect()
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

fn nearest_rank(sorted: &[f64], rank: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^52 samples")]
    let position = (rank.clamp(0.0, 1.0) * sorted.len() as f64).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
    let index = (position as usize).saturating_sub(1);
    sorted[index.min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_known_samples() {
        let samples: Vec<f64> = (1..=200).map(f64::from).rev().collect();
        let expected = Summary { count: 200, p50: 100.5, p99: 198.0, min: 1.0, max: 200.0 };
        assert_eq!(Summary::of(&samples), Some(expected));
        assert_eq!(percentile(&samples, 0.5), Some(100.0));
        assert_eq!(percentile(&samples, 0.0), Some(1.0));
    }

    #[test]
    fn of_few_samples_and_of_none() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!((median(&[]), percentile(&[], 0.5), median_interval(&[])), (None, None, None));
        assert_eq!(Summary::of(&[7.0]).map(|s| (s.p50, s.p99, s.min, s.max)), Some((7.0, 7.0, 7.0, 7.0)));
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
    }

    #[test]
    fn an_interval_needs_six_samples() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        for few in 0..6 {
            assert_eq!(median_interval(&samples[..few]), None, "{few} samples");
        }
        assert_eq!(median_interval(&samples[..6]), Some((1.0, 6.0)));
        // Conover, Practical Nonparametric Statistics, table A3: two of nine, six of twenty, 40 of a hundred.
        assert_eq!(median_interval(&samples[..9]), Some((2.0, 8.0)));
        assert_eq!(median_interval(&samples[..20]), Some((6.0, 15.0)));
        assert_eq!(median_interval(&samples), Some((40.0, 61.0)));
        let many: Vec<f64> = (1..=10_000).map(f64::from).collect();
        assert_eq!(median_interval(&many), Some((4902.0, 5099.0)));
    }

    #[test]
    fn samples_of_a_round_count_once() {
        let samples = [1.0, 2.0, 3.0, 10.0, 20.0, 30.0];
        assert_eq!(by_round(&samples, 2), [2.0, 20.0]);
        assert_eq!(by_round(&samples, 6), samples);
        assert_eq!(by_round(&samples, 4), samples, "another number of times than the rounds");
        assert_eq!((by_round(&samples, 0), by_round(&[], 2)), (samples.to_vec(), Vec::new()));
    }

    #[test]
    fn neighbours_make_a_batch() {
        let samples: Vec<f64> = (0..7).map(f64::from).collect();
        assert_eq!(batches(&samples, 3), [0.5, 2.5, 5.0]);
        assert_eq!(batches(&samples, 7), samples);
        assert_eq!(batches(&samples, 20), samples);
        assert_eq!(batches(&[], 20), [0.0; 0]);
    }

    #[test]
    fn an_interval_narrows_with_the_number_of_samples() {
        let spread = |count: u32| {
            let samples: Vec<f64> = (0..count).map(|i| f64::from(i) / f64::from(count)).collect();
            median_interval(&samples).map(|(low, high)| high - low)
        };
        assert!(spread(100) < spread(20));
        assert!(spread(1000) < Some(0.08));
    }

    proptest! {
        #[test]
        fn numbers_are_in_order_and_among_the_samples(samples in prop::collection::vec(0.0f64..1e9, 1..200)) {
            let s = Summary::of(&samples).unwrap();
            prop_assert!(s.min <= s.p50 && s.p50 <= s.p99 && s.p99 <= s.max);
            prop_assert!(samples.contains(&s.min) && samples.contains(&s.max) && samples.contains(&s.p99));
            let not_larger = samples.iter().filter(|&&x| x <= s.p50).count();
            prop_assert!(2 * not_larger >= samples.len());
            if let Some((low, high)) = median_interval(&samples) {
                prop_assert!(low <= s.p50 && s.p50 <= high);
            }
        }
    }
}
