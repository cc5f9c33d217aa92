//! What a front asks of the core, in no front's language.

use crate::host_client::{Offer, PodWish, Purpose};
use nestless_guest::{home::Home, pod_nic::Configured};
use nestless_model::{
    attachment::PodRef,
    identity::{AttachmentId, NetworkName},
    loopback::JoinWish,
    port_mapping::PortMapping,
};
use nestless_support::netns::Namespace;

/// What a front asks for.
pub(crate) struct AttachRequest {
    pub(crate) attachment: AttachmentId,
    /// The front's name for all that it will ask for together, by which it may let go of what is left over.
    pub(crate) conf: NetworkName,
    pub(crate) home: Home,
    pub(crate) pod: PodRef,
    pub(crate) purpose: Purpose<PodWish, JoinWish>,
    /// Ports of the VM that shall lead there.
    pub(crate) port_mappings: Vec<PortMapping>,
}

/// What came of it.
pub(crate) struct Attached {
    pub(crate) offer: Offer,
    pub(crate) configured: Configured,
}

/// What a front lets go of.
pub(crate) struct DetachRequest {
    pub(crate) attachment: AttachmentId,
    /// Where it should be, if that is still there.
    pub(crate) sandbox: Option<Namespace>,
    /// The same, as the front's caller names it.
    pub(crate) sandbox_path: Option<String>,
}
