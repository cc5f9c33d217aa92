//! What one look at a VM's NICs showed.

use super::host_ends::HostEndSeen;
use crate::hypervisor::Observation;
use nestless_model::{
    attachment::{HostEndState, World},
    identity::{LinkName, NicId},
};
use std::collections::BTreeMap;

/// What hypervisor and host ends showed.
#[derive(Debug)]
pub(super) struct VmObservation {
    /// What the machine had counted when the look began.
    pub(super) as_of: u64,
    pub(super) hypervisor: Observation,
    pub(super) host_ends: BTreeMap<NicId, HostEndSeen>,
}

impl VmObservation {
    /// Every NIC that exists in some part, other VMs' host ends among them.
    pub(super) fn nics(&self) -> impl Iterator<Item = NicId> {
        self.hypervisor.nics.iter().chain(self.host_ends.keys()).copied()
    }

    /// The same for the machine. `bridge_of` tells where a NIC belongs: a host end in another bridge is not its own, while one
    /// whose network is configured no more stays where it is.
    pub(super) fn world<'a>(self, bridge_of: impl Fn(NicId) -> Option<&'a LinkName>) -> World {
        let host_ends = self.host_ends.into_iter().map(|(nic, end)| {
            let wanted = bridge_of(nic);
            let isolated = end.up && end.bridge.is_none();
            let is_wanted = |bridge: &String| wanted.is_none_or(|wanted| wanted.as_str() == bridge);
            let enslaved = end.up && end.bridge.as_ref().is_some_and(is_wanted);
            let HostEndSeen { guarded, reflected, overtaken, .. } = end;
            (nic, HostEndState { enslaved, isolated, guarded, reflected, overtaken })
        });
        let Observation { state, nics, halves, slots } = self.hypervisor;
        World { as_of: self.as_of, state, slots, plugged: nics, halves, host_ends: host_ends.collect() }
    }
}
