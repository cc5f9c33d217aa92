//! Whose addresses rest: a guest that makes and removes pods without end must leave addresses to the others.
//!
//! What rests after a VM's pods may not outnumber what is still free. One restless VM leaves half of a network's free
//! addresses to the others, two leave a third; nobody has to fix a share, and whoever is alone is barely slowed down.

use crate::identity::VmName;
use std::collections::BTreeMap;

/// For each VM, the seconds at which its earlier addresses are free again.
#[derive(Debug, Default)]
pub(super) struct Resting(BTreeMap<VmName, Vec<u64>>);

impl Resting {
    pub(super) fn add(&mut self, vm: &VmName, until_s: u64) {
        self.0.entry(vm.clone()).or_default().push(until_s);
    }

    /// How many still rest, and when the next one is free.
    pub(super) fn of(&mut self, vm: &VmName, now_s: u64) -> (u64, Option<u64>) {
        let Some(untils) = self.0.get_mut(vm) else { return (0, None) };
        untils.retain(|until| *until > now_s);
        (untils.len() as u64, untils.iter().min().copied())
    }
}
