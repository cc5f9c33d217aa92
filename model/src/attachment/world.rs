//! What is seen of a VM, its NICs and their host ends.

use crate::identity::NicId;
use std::collections::{BTreeMap, BTreeSet};

/// How the VM is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum VmState {
    Running,
    Paused,
    /// The guest is over, shut down or in panic, and its hypervisor is there: only a reset makes it run again.
    Ended,
    Down,
}

/// What a hypervisor tells without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmEvent {
    /// The guest was reset. NICs stay plugged; nothing of what the guest did with them is left.
    Reset,
    /// A NIC has left the guest.
    NicGone(NicId),
}

/// One look at the hypervisor and at the host's links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// [`VmNics::generation`] when the look began.
    pub as_of: u64,
    /// How the VM is.
    pub state: VmState,
    /// Hot-plug slots in all.
    pub slots: Option<u32>,
    /// NICs the hypervisor has, in whole or in part.
    pub plugged: BTreeSet<NicId>,
    /// Those of them that it has in part only: a back end without its device, or the reverse.
    pub halves: BTreeSet<NicId>,
    /// Host's ends that exist.
    pub host_ends: BTreeMap<NicId, HostEndState>,
}

/// A host's end that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostEndState {
    /// It is a port of its network's bridge, and up.
    pub enslaved: bool,
    /// It is a port of no bridge, and up.
    pub isolated: bool,
    /// Guard programs hang on it.
    pub guarded: bool,
    /// It is an endpoint of a loopback group, and the reflector hangs on it.
    pub reflected: bool,
    /// Another's program stands before its filter, and its port is closed for that.
    pub overtaken: bool,
}
