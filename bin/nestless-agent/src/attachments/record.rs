//! One attachment.

use nestless_guest::sandbox_watch::SandboxNumber;
use nestless_model::identity::{AttachmentId, Mac, NetworkName};
use serde::{Deserialize, Serialize};

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// The host may have been asked. What an agent that died leaves so is taken back.
    Attaching,
    /// A pod has it.
    InUse,
    /// The NIC is parked; the host is to hear of it.
    Detaching,
}

/// What must be known to take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) attachment: AttachmentId,
    pub(crate) phase: Phase,
    /// The CNI configuration's name; `None` when only the host's list told of it.
    pub(crate) conf: Option<NetworkName>,
    /// The sandbox's path, as the runtime said it.
    pub(crate) sandbox: Option<String>,
    /// Plug-time address; `None` until the host has answered.
    pub(crate) nic: Option<Mac>,
    /// Ports of the VM lead to it.
    #[serde(default)]
    pub(crate) mapped: bool,
    /// Counts only in the agent that gave it.
    #[serde(skip)]
    pub(crate) number: Option<SandboxNumber>,
}

impl Record {
    pub(crate) fn new(attachment: AttachmentId, phase: Phase) -> Self {
        Self { attachment, phase, conf: None, sandbox: None, nic: None, mapped: false, number: None }
    }
}
