//! Spare NICs: when to plug more, which to hand out, which to let go.

use super::{
    nic::Nic,
    purpose::Purpose,
    record::{Goal, NicRecord},
    vm_nics::{Context, Outcome, VmNics},
    world::VmState,
};
use crate::identity::{NetworkName, NicId};

/// A NIC that is not visible this long after it was plugged will not be any more.
pub(super) const VISIBLE_DEADLINE_MS: u64 = 15_000;
/// A NIC that the guest has not given back this long after its pod is unplugged, wherever it is. Making it anew takes a
/// guest less than a second, but its agent may be about to be started again.
pub(super) const RETURN_DEADLINE_MS: u64 = 60_000;
/// After a spare NIC failed, the pool is left alone this long, so that a guest that cannot take more is not tormented.
pub(super) const HOLD_MS: u64 = 60_000;
/// So many are plugged at once: a pod's own plug must never stand behind a whole pool's.
const AT_ONCE: usize = 4;

impl VmNics {
    /// A spare NIC for `network`, one that the guest has already if there is any; one that failed before comes last. What a
    /// pod may still have is not spare.
    pub(super) fn pick_spare(&self, network: &NetworkName) -> Option<NicId> {
        self.nics
            .values()
            .filter(|nic| {
                nic.record.goal == Goal::Spare
                    && nic.record.network == *network
                    && nic.record.purpose.is_empty()
                    && !nic.record.returning
                    && !nic.spent
            })
            .filter(|nic| self.suits(nic))
            .filter(|nic| nic.observed && !nic.lost && !nic.broken && nic.retry_at_ms.is_none())
            .min_by_key(|nic| (nic.failed, !nic.visible, nic.running.is_some(), nic.record.nic))
            .map(|nic| nic.record.nic)
    }

    /// Whether a NIC is as spare ones shall be now: the operator may have changed that since it was planned.
    fn suits(&self, nic: &Nic) -> bool {
        nic.record.network == self.limits.default_network && nic.record.mtu == self.limits.mtu
    }

    /// Spare NICs that an operator's change has left useless or too many. Of those too many, the ones go first that are of
    /// no use yet.
    pub(super) fn useless_spares(&self) -> Vec<NicId> {
        if !self.expects_nics() {
            return Vec::new();
        }
        let spares = self.nics.values().filter(|nic| nic.record.goal == Goal::Spare);
        let (mut suiting, others): (Vec<_>, Vec<_>) = spares.partition(|nic| self.suits(nic));
        suiting.sort_by_key(|nic| (!nic.visible, nic.record.nic));
        let beyond = self.beyond_operators_limit().saturating_sub(others.len());
        let stay = suiting.len().saturating_sub(beyond).min(self.limits.warm_pool_max as usize);
        others.iter().chain(suiting.iter().skip(stay)).map(|nic| nic.record.nic).collect()
    }

    /// Whether a NIC that a pod gave back may stay.
    pub(super) fn wants_back(&self, nic: &Nic) -> bool {
        let spares = self.nics.values().filter(|nic| nic.record.goal == Goal::Spare).count();
        nic.was_visible()
            && !nic.lost
            && !nic.broken
            && !nic.spent
            && self.suits(nic)
            && self.beyond_operators_limit() == 0
            && spares < self.limits.warm_pool_max as usize
    }

    /// Plugs spare NICs until there are enough.
    pub(super) fn refill(&mut self, context: &mut Context<'_>, out: &mut Outcome) {
        if !self.expects_nics() || context.now_ms < self.hold_until_ms {
            return;
        }
        loop {
            let spares = self.nics.values().filter(|nic| nic.record.goal == Goal::Spare);
            let (ready, coming): (Vec<_>, Vec<_>) = spares.partition(|nic| nic.visible);
            let capacity = self.capacity();
            if ready.len() + coming.len() >= self.limits.warm_pool as usize
                || coming.len() >= AT_ONCE
                || capacity.total >= capacity.limit
            {
                return;
            }
            let (nic, mac) = (context.fresh_nic)();
            let record = NicRecord {
                nic,
                vm: self.vm.clone(),
                network: self.limits.default_network.clone(),
                mac,
                mtu: self.limits.mtu,
                goal: Goal::Spare,
                purpose: Purpose::default(),
                quarantined: false,
                returning: false,
            };
            self.insert(record, out);
            self.advance(nic, out);
        }
    }

    /// A spare NIC failed: it goes, and no other is tried for a while.
    pub(super) fn give_up_spare(&mut self, id: NicId, context: &Context<'_>, out: &mut Outcome) {
        self.hold_until_ms = context.now_ms + HOLD_MS;
        self.set_goal(id, Goal::Remove, out);
    }

    /// A NIC that is plugged now can be expected to become visible: the guest runs, and its agent has spoken since it last
    /// booted.
    fn expects_nics(&self) -> bool {
        self.boot.is_some() && self.state == VmState::Running && !self.unheard
    }

    /// No NIC could become visible before now.
    pub(super) fn restart_deadlines(&mut self, now_ms: u64) {
        for nic in self.nics.values_mut() {
            nic.expected_since_ms = now_ms;
        }
    }

    /// Spare NICs that never became visible.
    pub(super) fn invisible_spares(&self, now_ms: u64) -> Vec<NicId> {
        if !self.expects_nics() {
            return Vec::new();
        }
        self.nics
            .values()
            .filter(|nic| nic.record.goal == Goal::Spare && nic.plugged && !nic.visible && !nic.lost)
            .filter(|nic| !nic.record.returning)
            .filter(|nic| now_ms.saturating_sub(nic.expected_since_ms) >= VISIBLE_DEADLINE_MS)
            .map(|nic| nic.record.nic)
            .collect()
    }

    /// NICs that pods had and that the guest never gave back.
    pub(super) fn kept_back(&self, now_ms: u64) -> Vec<NicId> {
        if !self.expects_nics() {
            return Vec::new();
        }
        self.nics
            .values()
            .filter(|nic| nic.record.goal == Goal::Spare && nic.record.returning)
            .filter(|nic| now_ms.saturating_sub(nic.expected_since_ms) >= RETURN_DEADLINE_MS)
            .map(|nic| nic.record.nic)
            .collect()
    }
}
