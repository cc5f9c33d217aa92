//! How many NICs a VM may have.

use super::{
    record::Goal,
    vm_nics::{GuestLimit, VmNics},
};

/// How long a limit is believed that was found out by a NIC that did not become visible: the guest may only have been slow.
const GUEST_LIMIT_MS: u64 = 600_000;

const OUT_OF_VECTORS: &str = "as many as the guest has interrupt vectors for";
const NONE_VISIBLE: &str = "the guest's agent has reported no NIC that was plugged";

/// How many NICs there may be, are used, and wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The smallest of all limits.
    pub limit: u32,
    /// Which limit that is.
    pub because: &'static str,
    /// It is that of a guest whose agent has reported none of its NICs.
    pub none_visible: bool,
    /// Serving pods.
    pub in_use: u32,
    /// Ready to serve.
    pub spare: u32,
    /// A pod had them; the guest has not said yet that they wait.
    pub returning: u32,
    /// Stuck in the guest.
    pub quarantined: u32,
    /// All there are, whatever their state.
    pub total: u32,
}

impl Capacity {
    /// Whether one more pod could be served, now or when those that are on their way back are there.
    pub fn has_room(&self) -> bool {
        self.spare > 0 || self.returning > 0 || self.total < self.limit
    }
}

impl VmNics {
    /// Counted now.
    pub fn capacity(&self) -> Capacity {
        let count = |wanted: fn(&super::Nic) -> bool| {
            u32::try_from(self.nics.values().filter(|nic| wanted(nic)).count()).unwrap_or(u32::MAX)
        };
        let quarantined = count(|nic| nic.record.quarantined);
        let total = count(|_| true);
        let by_slots =
            self.slots.map(|slots| (slots, "hot-plug ports; `nestless topology` prints what more need"));
        let by_guest = self.guest_limit.map(|limit| {
            let because = if limit.none_visible { NONE_VISIBLE } else { OUT_OF_VECTORS };
            (limit.nics.saturating_add(quarantined), because)
        });
        let (limit, because) =
            [Some((self.limits.nic_limit, "the operator's nic_limit")), by_slots, by_guest]
                .into_iter()
                .flatten()
                .min_by_key(|&(limit, _)| limit)
                .expect("the operator's limit is always there");
        Capacity {
            limit,
            because,
            none_visible: because == NONE_VISIBLE,
            in_use: count(|nic| nic.record.attachment().is_some()),
            spare: count(|nic| nic.record.goal == Goal::Spare && !nic.record.returning),
            returning: count(|nic| nic.record.goal == Goal::Spare && nic.record.returning),
            quarantined,
            total,
        }
    }

    /// So many are beyond what the operator allows now, though nothing that goes is counted: he may have lowered it.
    pub(super) fn beyond_operators_limit(&self) -> usize {
        let staying = self.nics.values().filter(|nic| nic.record.goal != Goal::Remove).count();
        staying.saturating_sub(self.limits.nic_limit as usize)
    }

    /// So many NICs are visible and no more will be: asking for another would only make a pod wait in vain.
    pub(super) fn learn_limit(&mut self, now_ms: u64) {
        let visible = self.visible_nics();
        self.guest_limit = Some(GuestLimit {
            nics: visible.max(1),
            none_visible: visible == 0,
            until_ms: now_ms + GUEST_LIMIT_MS,
        });
    }

    /// In a guest that was merely slow, or whose agent did not report, more are visible by now.
    pub(super) fn correct_limit(&mut self) {
        let visible = self.visible_nics();
        let holds = |limit: &GuestLimit| visible <= if limit.none_visible { 0 } else { limit.nics };
        self.guest_limit = self.guest_limit.filter(holds);
    }

    fn visible_nics(&self) -> u32 {
        u32::try_from(self.nics.values().filter(|nic| nic.was_visible()).count()).unwrap_or(u32::MAX)
    }
}
