//! Whether two sets of samples can be of one distribution: the rank sum test of Mann and Whitney, exactly, and what a table
//! of such tests may claim as a whole.

/// How likely two sets of one distribution, whichever it is, are told apart by their ranks as much as these, or more. Exact,
/// also where samples are equal: of all ways to deal the ranks out, those are counted. For tens of samples.
pub(crate) fn p_value(one: &[f64], other: &[f64]) -> f64 {
    let ranks = doubled_ranks(one, other);
    let total: usize = ranks.iter().sum();
    let found = ranks[..one.len()].iter().sum::<usize>();
    // From the middle, in numbers that stay whole.
    let (count, of) = (one.len(), ranks.len());
    let distance = |sum: usize| (sum * of).abs_diff(total * count);
    let (mut alike, mut all) = (0.0, 0.0);
    for (sum, ways) in ways_to_sum(&ranks, count).into_iter().enumerate() {
        all += ways;
        if distance(sum) >= distance(found) {
            alike += ways;
        }
    }
    alike / all
}

/// The least that [`p_value`] can be for sets of these sizes: one's samples are all below the other's.
pub(crate) fn least_p_value(one: usize, other: usize) -> f64 {
    let ways = (1..=one).fold(1.0, |ways, taken| ways * real(other + taken) / real(taken));
    (2.0 / ways).min(1.0)
}

/// For several tests at once (Holm, 1979): who calls those below a level a finding finds anything where there is nothing
/// with no greater probability than that level, whatever the tests have to do with each other.
pub(crate) fn together(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let (mut adjusted, mut least) = (vec![1.0; p_values.len()], 0.0_f64);
    for (before, index) in order.into_iter().enumerate() {
        least = least.max(p_values[index] * real(p_values.len() - before)).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

/// Twice the rank of each sample among all, `one`'s first: equal ones share the mean of their ranks.
fn doubled_ranks(one: &[f64], other: &[f64]) -> Vec<usize> {
    let all: Vec<f64> = one.iter().chain(other).copied().collect();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|&a, &b| all[a].total_cmp(&all[b]));
    let mut ranks = vec![0; all.len()];
    let mut begin = 0;
    for group in order.chunk_by(|&a, &b| all[a].total_cmp(&all[b]).is_eq()) {
        // Of ranks begin + 1 to begin + length.
        group.iter().for_each(|&index| ranks[index] = 2 * begin + group.len() + 1);
        begin += group.len();
    }
    ranks
}

/// In how many ways `count` of `ranks` have each sum.
fn ways_to_sum(ranks: &[usize], count: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; most + 1]; count + 1];
    ways[0][0] = 1.0;
    for (before, &rank) in ranks.iter().enumerate() {
        for taken in (1..=count.min(before + 1)).rev() {
            let (fewer, with) = ways.split_at_mut(taken);
            for (ways, without) in with[0][rank..].iter_mut().zip(&fewer[taken - 1]) {
                *ways += without;
            }
        }
    }
    ways.swap_remove(count)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of samples and of tests")]
fn real(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(one: f64, other: f64) {
        assert!((one - other).abs() < 1e-9, "{one} is not {other}");
    }

    #[test]
    fn of_known_samples() {
        // All 20 ways to deal six ranks out; then one swap: 2 of 20 are as far out, then 4.
        close(p_value(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 0.1);
        close(p_value(&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0]), 0.2);
        close(p_value(&[1.0, 4.0, 5.0], &[2.0, 3.0, 6.0]), 1.0);
        // Equal ones: of the six ways to deal 1.5, 1.5, 3.5, 3.5 out in pairs, two are as far out.
        close(p_value(&[1.0, 1.0], &[2.0, 2.0]), 1.0 / 3.0);
        close(p_value(&[5.0; 7], &[5.0; 9]), 1.0);
    }

    #[test]
    fn the_least_is_that_of_sets_apart() {
        for (one, other) in [(1, 1), (2, 5), (6, 6), (20, 20)] {
            let sets = |from: usize, count: usize| (from..from + count).map(real).collect::<Vec<_>>();
            close(p_value(&sets(0, one), &sets(one, other)), least_p_value(one, other));
        }
        close(least_p_value(6, 6), 2.0 / 924.0);
    }

    #[test]
    fn several_tests_pay_for_their_number() {
        let adjusted = together(&[0.01, 0.5, 0.02, 0.9]);
        for (found, expected) in adjusted.into_iter().zip([0.04, 1.0, 0.06, 1.0]) {
            close(found, expected);
        }
        assert!(together(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn it_is_a_probability_and_has_no_side(
            one in prop::collection::vec(0u8..20, 1..12),
            other in prop::collection::vec(0u8..20, 1..12),
        ) {
            let real = |set: &[u8]| set.iter().copied().map(f64::from).collect::<Vec<_>>();
            let (one, other) = (real(&one), real(&other));
            let p = p_value(&one, &other);
            prop_assert!(p > 0.0 && p <= 1.0 + 1e-12);
            prop_assert!((p - p_value(&other, &one)).abs() < 1e-9);
        }
    }
}
