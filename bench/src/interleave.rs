//! Whose turn it is.

/// The sides' numbers in the order in which they run in round `round`: each once, each first in every `sides`-th round.
/// What changes with time, such as other load on the machine, meets all alike; and so does what the one before leaves.
///
/// ```
/// assert_eq!(nestless_bench::turns(3, 0).collect::<Vec<_>>(), [0, 1, 2]);
/// assert_eq!(nestless_bench::turns(3, 1).collect::<Vec<_>>(), [1, 2, 0]);
/// ```
pub fn turns(sides: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..sides).map(move |position| (position + round) % sides)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_side_has_one_turn_a_round_and_every_position_once(sides in 1usize..8, first in 0usize..100) {
            let rounds: Vec<Vec<usize>> = (first..first + sides).map(|round| turns(sides, round).collect()).collect();
            for position in 0..sides {
                let mut at: Vec<_> = rounds.iter().map(|round| round[position]).collect();
                at.sort_unstable();
                prop_assert_eq!(at, (0..sides).collect::<Vec<_>>());
            }
            for mut round in rounds {
                round.sort_unstable();
                prop_assert_eq!(round, (0..sides).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn without_sides_nobody_has_a_turn() {
        assert_eq!(turns(0, 3).count(), 0);
    }
}
