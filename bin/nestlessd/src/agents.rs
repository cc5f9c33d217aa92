//! What is known of each VM's agent, for status, and to bound how many channels one VM keeps open.

use nestless_model::identity::VmName;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Channels of one VM at once. An agent has one, and for a moment the one that it lost; each costs memory and a
/// descriptor that other VMs need as well.
const CHANNELS: u32 = 4;

/// All VMs' agents.
#[derive(Debug, Default)]
pub(crate) struct Agents(Mutex<BTreeMap<VmName, Agent>>);

/// What is known of a VM's agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agent {
    /// Open channels.
    pub(crate) channels: u32,
    /// As it said in its last hello.
    pub(crate) version: String,
    /// Its kernel has no IPv6, as it said likewise.
    pub(crate) without_ipv6: bool,
    /// Why its channel cannot be opened, where the host knows; empty otherwise.
    pub(crate) trouble: String,
}

impl Agents {
    /// What is known of a VM's agent.
    pub(crate) fn get(&self, vm: &VmName) -> Agent {
        self.lock().get(vm).cloned().unwrap_or_default()
    }

    /// Notes what an agent says of itself and its guest.
    pub(crate) fn note(&self, vm: &VmName, version: String, without_ipv6: bool) {
        let mut agents = self.lock();
        let agent = agents.entry(vm.clone()).or_default();
        (agent.version, agent.without_ipv6) = (version, without_ipv6);
    }

    /// Notes why a channel cannot be opened, or that it can.
    pub(crate) fn note_trouble(&self, vm: &VmName, trouble: String) {
        self.lock().entry(vm.clone()).or_default().trouble = trouble;
    }

    /// Counts one more open channel, unless the VM has as many as it may.
    pub(crate) fn open_channel(&self, vm: &VmName) -> bool {
        let mut agents = self.lock();
        let agent = agents.entry(vm.clone()).or_default();
        let allowed = agent.channels < CHANNELS;
        agent.channels += u32::from(allowed);
        allowed
    }

    /// A channel that was counted is closed.
    pub(crate) fn close_channel(&self, vm: &VmName) {
        if let Some(agent) = self.lock().get_mut(vm) {
            agent.channels = agent.channels.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<VmName, Agent>> {
        // Whole between statements; a panic elsewhere does not make it less so.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_has_a_few_channels_and_no_other_pays_for_them() {
        let agents = Agents::default();
        let (greedy, modest) = (VmName::new("greedy").unwrap(), VmName::new("modest").unwrap());
        assert_eq!((0..100).filter(|_| agents.open_channel(&greedy)).count(), 4);
        assert!(agents.open_channel(&modest));
        agents.close_channel(&greedy);
        assert!(agents.open_channel(&greedy));
        assert!(!agents.open_channel(&greedy));
        assert_eq!(agents.get(&greedy).channels, 4);
    }
}
