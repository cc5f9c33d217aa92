//! What one VM may have the daemon keep in memory at once, over all its channels.
//!
//! Every call takes its share before anything of it is read, and gives it back when its answer has been taken away or its
//! stream is gone. What does not fit is refused: a guest that holds calls back has itself to wait for. With what a channel
//! costs by itself, and what is kept of a VM's NICs, this is less than 8 MiB for a VM (docs/channel.md).

use nestless_model::identity::VmName;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A VM's, in KiB.
const ALLOWED_KIB: usize = 4 << 10;
/// A call with the largest request, and the tasks and buffers that serve it.
const CALL_KIB: usize = 48;
/// A NIC in the list of all: in the daemon's words, and on the wire.
const LISTED_NIC_KIB: usize = 4;

/// The calls that a well-meant channel may have under way: all of them fit, and half as many of another.
pub(crate) const STREAMS_PER_CHANNEL: u32 = 56;
const _: () = assert!(STREAMS_PER_CHANNEL as usize * CALL_KIB * 3 / 2 <= ALLOWED_KIB);

/// All VMs'. A reload does not give a VM another one: what it took before is still there.
#[derive(Default)]
pub(crate) struct Allowances(Mutex<BTreeMap<VmName, Allowance>>);

/// One VM's.
#[derive(Clone)]
pub(crate) struct Allowance(Arc<Semaphore>);

/// Part of a VM's allowance, until it is dropped.
#[derive(Clone)]
pub(crate) struct Share(
    #[expect(dead_code, reason = "given back with its last owner")] Arc<OwnedSemaphorePermit>,
);

impl Allowances {
    /// Of a VM that is configured, or was: there are no more of them than the operator named.
    pub(crate) fn of(&self, vm: &VmName) -> Allowance {
        // Whole between statements.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(vm.clone()).or_insert_with(Allowance::whole).clone()
    }
}

impl Allowance {
    /// Of which nothing is taken.
    pub(crate) fn whole() -> Self {
        Self(Arc::new(Semaphore::new(ALLOWED_KIB)))
    }

    /// For a call; `None` when the VM's others leave too little.
    pub(crate) fn for_call(&self) -> Option<Share> {
        self.take(CALL_KIB)
    }

    /// For a list of so many NICs: of half the allowance at most, so that one fits whatever the VM has.
    pub(crate) fn for_list(&self, nics: usize) -> Option<Share> {
        self.take(nics.saturating_mul(LISTED_NIC_KIB).clamp(1, ALLOWED_KIB / 2))
    }

    fn take(&self, kib: usize) -> Option<Share> {
        let kib = u32::try_from(kib).ok()?;
        let taken = Arc::clone(&self.0).try_acquire_many_owned(kib).ok()?;
        Some(Share(Arc::new(taken)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_had_again_and_no_other_pays() {
        let (greedy, modest) = (VmName::new("greedy").unwrap(), VmName::new("modest").unwrap());
        let allowances = Allowances::default();
        let own = allowances.of(&greedy);
        let list = own.for_list(1024).unwrap();
        let calls: Vec<_> = std::iter::from_fn(|| own.for_call()).collect();
        assert_eq!(calls.len(), ALLOWED_KIB / 2 / CALL_KIB);
        assert!(own.for_list(64).is_none());
        assert!(allowances.of(&modest).for_call().is_some());
        let other = list.clone();
        drop(list);
        assert!(own.for_list(64).is_none(), "its answer is still on the way");
        drop(other);
        assert!(own.for_list(64).is_some());
    }
}
