//! Fleets made up for measuring: the same seed gives the same fleet everywhere.

use crate::fleet::{Fleet, Lifetime};
use nestless_placement::{Pod, Resources};

/// Small sizes are common and large ones rare, as in the traces; in milli-vCPU.
const CPU_MILLI: [u64; 8] = [50, 100, 100, 250, 250, 500, 1000, 2000];
/// GiB of memory for each vCPU are between 1 and 8.
const MIB_PER_MILLI: [u64; 4] = [1, 2, 4, 8];

/// Pods of one to four containers, all of one client.
pub fn fleet(pods: usize, seed: u64) -> Fleet {
    let mut random = SplitMix(seed);
    let mut fleet = Fleet::default();
    for index in 0..pods {
        let count = 1 + random.below(4);
        let containers = (0..count).map(|_| {
            let cpu_milli = CPU_MILLI[random.below(CPU_MILLI.len() as u64) as usize];
            let ratio = MIB_PER_MILLI[random.below(MIB_PER_MILLI.len() as u64) as usize];
            Resources::new(cpu_milli, (cpu_milli * ratio) << 20)
        });
        fleet.add(
            "generated",
            Pod::of(format!("pod-{index}"), containers.collect::<Vec<_>>()),
            Lifetime::default(),
        );
    }
    fleet
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_fleet() {
        assert_eq!(fleet(50, 1).clients(), fleet(50, 1).clients());
        assert_ne!(fleet(50, 1).clients(), fleet(50, 2).clients());
        assert_eq!(fleet(50, 1).pods(), 50);
    }
}
