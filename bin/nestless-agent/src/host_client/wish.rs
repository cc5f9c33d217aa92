//! What is asked of the host for an attachment.

use nestless_model::{
    address::RequestedAddress,
    attachment::PodRef,
    guard::{self, Bandwidth},
    identity::{AttachmentId, Mac, NetworkName},
    loopback::JoinWish,
};
use nestless_proto as proto;
use nestless_support::telemetry::TraceParent;

/// What a NIC is for, with what is asked or given for that. The one place that tells a pod's interface from a fraction's
/// endpoint.
#[derive(Debug, Clone)]
pub(crate) enum Purpose<P, E> {
    /// A pod's interface.
    Pod(P),
    /// A fraction's endpoint.
    Endpoint(E),
}

/// A NIC is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) attachment: AttachmentId,
    pub(crate) purpose: Purpose<PodWish, JoinWish>,
    /// As the VM names it; empty: none.
    pub(crate) sandbox: String,
    pub(crate) pod: PodRef,
}

/// What a pod's interface is to have.
#[derive(Debug, Clone, Default)]
pub(crate) struct PodWish {
    /// `None`: the VM's default.
    pub(crate) network: Option<NetworkName>,
    pub(crate) addresses: Vec<RequestedAddress>,
    pub(crate) mac: Option<Mac>,
    pub(crate) bandwidth: Bandwidth,
}

impl Wish {
    /// The call that asks for it.
    pub(super) fn into_call(self) -> Purpose<proto::AttachRequest, proto::JoinRequest> {
        let Self { attachment, purpose, sandbox, pod } = self;
        let pod = Some(proto::PodRef { namespace: pod.namespace, name: pod.name, uid: pod.uid });
        match purpose {
            Purpose::Pod(wish) => Purpose::Pod(proto::AttachRequest {
                request_id: request_id(),
                attachment: Some(wire_id(&attachment)),
                network: wish.network.map(String::from).unwrap_or_default(),
                addresses: wish.addresses.iter().map(ToString::to_string).collect(),
                mac: wish.mac.map(String::from).unwrap_or_default(),
                egress: wish.bandwidth.egress.map(rate_limit),
                ingress: wish.bandwidth.ingress.map(rate_limit),
                sandbox,
                pod,
            }),
            Purpose::Endpoint(wish) => Purpose::Endpoint(proto::JoinRequest {
                request_id: request_id(),
                container_id: attachment.container.to_string(),
                group: wish.group.to_string(),
                fraction: wish.fraction.to_string(),
                size: wish.size.map_or(0, u32::from),
                sandbox,
                pod,
            }),
        }
    }
}

pub(super) fn wire_id(attachment: &AttachmentId) -> proto::AttachmentId {
    proto::AttachmentId {
        container_id: attachment.container.to_string(),
        interface: attachment.interface.to_string(),
    }
}

/// One per attempt of ours; a repetition on another connection keeps it.
pub(super) fn request_id() -> String {
    TraceParent::root().trace_id()
}

fn rate_limit(limit: guard::RateLimit) -> proto::RateLimit {
    proto::RateLimit { bits_per_second: limit.bits_per_second, burst_bits: limit.burst_bits }
}
