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

/// An interval that holds the true median with a probability of 95 %, whatever the distribution: order statistics of the
/// binomial distribution in its normal approximation. The whole range where there are too few samples to say more.
pub(crate) fn median_interval(samples: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(samples);
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "nobody takes 2^52 samples")]
    let count = sorted.len() as f64;
    let half_width = 1.96 * count.sqrt() / 2.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the indices of a slice"
    )]
    let index = |position: f64| (position.max(0.0) as usize).min(last);
    Some((
        sorted[index((count / 2.0 - half_width).floor() - 1.0)],
        sorted[index((count / 2.0 + half_width).ceil())],
    ))
}

/// Whether two sets have medians that certainly differ: their [intervals](median_interval) do not meet. `None` when
/// either is empty.
pub(crate) fn medians_differ(one: &[f64], other: &[f64]) -> Option<bool> {
    let ((low, high), (other_low, other_high)) = (median_interval(one)?, median_interval(other)?);
    Some(other_low > high || other_high < low)
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
        assert_eq!(median_interval(&[2.0, 1.0, 3.0]), Some((1.0, 3.0)));
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
            let (low, high) = median_interval(&samples).unwrap();
            prop_assert!(low <= s.p50 && s.p50 <= high);
        }
    }
}
