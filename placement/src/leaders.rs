//! Groups that grow as their members are found to belong together; the first member of each stands for all.

/// The members `0..count`.
pub(crate) struct Leaders(Vec<usize>);

impl Leaders {
    /// Each member alone.
    pub(crate) fn of(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The first member of the group that `member` is in.
    pub(crate) fn leader(&self, mut member: usize) -> usize {
        while self.0[member] != member {
            member = self.0[member];
        }
        member
    }

    /// Makes the groups of both one.
    pub(crate) fn join(&mut self, one: usize, other: usize) {
        let (a, b) = (self.leader(one), self.leader(other));
        self.0[a.max(b)] = a.min(b);
    }
}
