//! Chance for the local searches, and how much they take at once.

/// The most items whose VMs are drawn together.
pub(crate) const MOST_ITEMS: usize = 80;

/// SplitMix64 (Steele, Lea, Flood, 2014): the same draws on every machine.
pub(crate) struct Draw(u64);

impl Default for Draw {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Draw {
    /// A number less than `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % limit.max(1) as u64) as usize
    }

    /// `size`, or by chance up to twice as much: sorted by it, items come decreasing, and each time in another order.
    pub(crate) fn enlarged(&mut self, size: u64) -> u64 {
        size + (size >> 10) * self.below(1024) as u64
    }
}
