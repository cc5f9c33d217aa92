//! Spare NICs: when to plug more, which to hand out, which to let go.

use super::{
    machine::{Context, Outcome, VmNics},
    nic::Nic,
    observe::VmState,
    record::{Goal, Held, NicRecord},
};
use crate::identity::{NetworkName, NicId};

/// A NIC that the guest has not shown this long after it was plugged will not show any more.
pub(super) const SHOW_DEADLINE_MS: u64 = 15_000;
/// After a spare NIC failed, the pool is left alone this long, so that a guest that cannot take more is not tormented.
const HOLD_MS: u64 = 60_000;
/// So many are plugged at once: a pod's own plug must never stand behind a whole pool's.
const AT_ONCE: usize = 4;

impl VmNics {
    /// A spare NIC for `network`, one that the guest has already if there is any.
    pub(super) fn pick_spare(&self, network: &NetworkName) -> Option<NicId> {
        self.nics
            .values()
            .filter(|nic| {
                nic.record.goal == Goal::Spare && nic.record.network == *network && nic.record.held.is_empty()
            })
            .filter(|nic| nic.known && !nic.lost && !nic.broken && nic.retry_at_ms.is_none())
            .min_by_key(|nic| (!nic.visible, nic.running.is_some(), nic.record.nic))
            .map(|nic| nic.record.nic)
    }

    /// Whether a NIC that a pod gave back may stay.
    pub(super) fn wants_back(&self, nic: &Nic) -> bool {
        let spares = self.nics.values().filter(|nic| nic.record.goal == Goal::Spare).count();
        nic.was_seen()
            && !nic.lost
            && !nic.broken
            && nic.record.network == self.limits.default_network
            && nic.record.mtu == self.limits.mtu
            && spares < self.limits.warm_pool_max as usize
    }

    /// Plugs spare NICs until there are enough.
    pub(super) fn refill(&mut self, context: &mut Context<'_>, out: &mut Outcome) {
        if self.boot.is_none() || self.state != VmState::Running || context.now_ms < self.hold_until_ms {
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
                held: Held::default(),
                quarantined: false,
            };
            self.insert(record, out);
            self.advance(nic, context, out);
        }
    }

    /// A spare NIC failed: it goes, and no other is tried for a while.
    pub(super) fn give_up_spare(&mut self, id: NicId, context: &Context<'_>, out: &mut Outcome) {
        self.hold_until_ms = context.now_ms + HOLD_MS;
        self.set_goal(id, Goal::Remove, out);
    }

    /// Spare NICs that the guest never showed.
    pub(super) fn unseen_spares(&self, now_ms: u64) -> Vec<NicId> {
        self.nics
            .values()
            .filter(|nic| nic.record.goal == Goal::Spare && nic.plugged && !nic.visible && !nic.lost)
            .filter(|nic| now_ms.saturating_sub(nic.plugged_at_ms) >= SHOW_DEADLINE_MS)
            .map(|nic| nic.record.nic)
            .collect()
    }
}
