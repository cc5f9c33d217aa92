//! A step on a NIC: what is to be done, and why it was not.

use super::{purpose::Guarding, record::NicRecord};
use std::fmt;

/// A single effect on the world. Carried out as it is; whoever does so decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the TAP (or veth).
    CreateHostEnd,
    /// Put the guard in this state.
    Guard(Guarding),
    /// Make the host's end a port of its network's bridge, up.
    Enslave,
    /// Take the host's end out of any bridge, and set it up.
    Isolate,
    /// Have the hypervisor plug it.
    Plug,
    /// Take away whatever there is of it.
    Unplug,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateHostEnd => "create host end",
            Self::Guard(Guarding::Closed) => "close guard",
            Self::Guard(Guarding::Open(_)) => "open guard",
            Self::Guard(Guarding::Reflected(_)) => "join loopback group",
            Self::Enslave => "join bridge",
            Self::Isolate => "leave bridge",
            Self::Plug => "plug",
            Self::Unplug => "unplug",
        })
    }
}

/// A step to carry out on a NIC. Its result comes back through `VmNics::step_ended`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOrder {
    /// The NIC's record.
    pub record: NicRecord,
    /// What to do.
    pub step: Step,
}

/// Why a step failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StepFailure {
    /// No hot-plug slot is free.
    #[error("{0}")]
    NoSlot(String),
    /// The hypervisor does not answer.
    #[error("{0}")]
    VmDown(String),
    /// The guest did not let go.
    #[error("{0}")]
    UnplugTimeout(String),
    /// The hypervisor refused.
    #[error("{0}")]
    Hypervisor(String),
    /// Link, bridge or guard.
    #[error("{0}")]
    Fabric(String),
}
