//! What a hypervisor shows when it is looked at, and what it tells without being asked.

use nestless_model::{attachment::VmState, identity::NicId};
use std::collections::BTreeSet;

/// What is plugged, seen from the hypervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Down: nothing answers. Paused: the hypervisor answers, and the CPUs stand still.
    pub state: VmState,
    /// Our NICs that the VM has, in whole or in part (device without back end, or the reverse).
    pub nics: BTreeSet<NicId>,
    /// Those that it has in part only.
    pub halves: BTreeSet<NicId>,
    /// Hot-plug slots in all, where the back end can count them.
    pub slots: Option<u32>,
}

impl Observation {
    /// A VM that does not answer has nothing.
    pub(super) fn down() -> Self {
        Self { state: VmState::Down, nics: BTreeSet::new(), halves: BTreeSet::new(), slots: None }
    }
}

/// What a hypervisor tells without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HypervisorEvent {
    /// The hypervisor answers (again): what was observed before is worthless.
    Up,
    /// The guest was reset; NICs stay plugged, unplugs that were pending are done.
    Reset,
    /// The hypervisor is gone, and the NICs with it.
    Down,
    /// A NIC is out of the guest.
    NicGone(NicId),
}
