//! What room costs at least, were VMs sold by the piece: the continuous lower bound, in integers.
//!
//! Give CPU and memory weights of any kind: if no size offers more than `w` weight for a dollar, demand of
//! weight `W` costs at least `W / w`. The best weights are those of the linear programme's dual, and stand
//! where two sizes are equally good, or on an axis. Pods and NICs are bounded each alone.
//!
//! No product overflows: amounts are at most 2^53, weights 2^30, and prices less than 2^40, which
//! [`Catalogue::new`](crate::Catalogue::new) sees to.

use crate::item::{Amount, Size, UNLIMITED};

/// Weights, and the size that offers most for its price under them.
#[derive(Clone, Copy, Debug)]
struct Rate {
    weights: Amount,
    room: u128,
    price: u64,
}

/// The rates that matter for a set of sizes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates(Vec<Rate>);

impl Rates {
    /// The rates of those `sizes` that any of `profiles` admits.
    pub(crate) fn of(sizes: &[Size], profiles: &[Vec<bool>]) -> Self {
        let admitted = |index: usize| profiles.iter().any(|profile| profile[index]);
        let usable: Vec<&Size> = (0..sizes.len()).filter(|&s| admitted(s)).map(|s| &sizes[s]).collect();
        let mut rates = Vec::new();
        for axis in 0..4 {
            let mut weights = [0; 4];
            weights[axis] = 1;
            if usable.iter().all(|size| size.room[axis] < UNLIMITED) {
                rates.extend(rate(&usable, weights));
            }
        }
        let leading = leading(&usable);
        for (index, a) in leading.iter().enumerate() {
            for b in &leading[..index] {
                let weights = equalizer(a, b);
                let Some(rate) = rate(&usable, weights).filter(|_| weights[0] > 0 && weights[1] > 0) else {
                    continue;
                };
                rates.push(rate);
            }
        }
        Self(rates)
    }

    /// What `demand` costs at least, in micro-dollars, rounded up.
    pub(crate) fn cost(&self, demand: &Amount) -> u64 {
        let cost = |rate: &Rate| (dot(demand, &rate.weights) * u128::from(rate.price)).div_ceil(rate.room);
        self.0.iter().map(cost).max().map_or(0, |cost| u64::try_from(cost).unwrap_or(u64::MAX >> 1))
    }

    /// What `need` is worth under the CPU-and-memory rate that would make the worst of it, in
    /// micro-dollars: a first guess, from which no proof is made.
    pub(crate) fn worth(&self, need: &Amount, demand: &Amount) -> f64 {
        let dearest = self
            .0
            .iter()
            .max_by_key(|rate| (dot(demand, &rate.weights) * u128::from(rate.price)).div_ceil(rate.room));
        dearest.map_or(0.0, |rate| dot(need, &rate.weights) as f64 * rate.price as f64 / rate.room as f64)
    }
}

fn dot(amount: &Amount, weights: &Amount) -> u128 {
    (0..4).map(|d| u128::from(amount[d]) * u128::from(weights[d])).sum()
}

/// The best offer under `weights`; none when there is no size.
fn rate(sizes: &[&Size], weights: Amount) -> Option<Rate> {
    let offer = |size: &&Size| Rate { weights, room: dot(&size.room, &weights).max(1), price: size.price };
    sizes.iter().map(offer).reduce(|best, next| {
        let better = next.room * u128::from(best.price) > best.room * u128::from(next.price);
        if better { next } else { best }
    })
}

/// Sizes that no other beats in both CPU and memory for the money, one of each kind, and few.
fn leading<'s>(sizes: &[&'s Size]) -> Vec<&'s Size> {
    let per = |size: &Size, d: usize, other: &Size| u128::from(size.room[d]) * u128::from(other.price);
    let beats = |a: &Size, b: &Size| (0..2).all(|d| per(a, d, b) >= per(b, d, a));
    let mut kept: Vec<&Size> = Vec::new();
    for &size in sizes {
        if !kept.iter().any(|other| beats(other, size)) {
            kept.retain(|other| !beats(size, other));
            kept.push(size);
        }
    }
    kept
}

/// Weights under which two sizes offer the same for their price, scaled to at most 2^30.
fn equalizer(a: &Size, b: &Size) -> Amount {
    let term = |d: usize, x: &Size, y: &Size| u128::from(x.room[d]) * u128::from(y.price);
    let cpu = term(1, a, b).abs_diff(term(1, b, a));
    let memory = term(0, a, b).abs_diff(term(0, b, a));
    let bits = 128 - cpu.max(memory).leading_zeros();
    let shift = bits.saturating_sub(30);
    [(cpu >> shift) as u64, (memory >> shift) as u64, 0, 0]
}
