//! What `--json` prints: the shapes, whose schemas are `docs/json/*.schema.json`. Fields may be added, but neither
//! change their meaning nor go away within one major version.

use nestless_proto as proto;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// `nestless status --json`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Status {
    /// Version of the daemon.
    pub(crate) version: String,
    /// Seconds since the daemon started.
    pub(crate) uptime_s: u64,
    /// Every VM of the daemon's configuration.
    pub(crate) vms: Vec<Vm>,
    /// Every pod network.
    pub(crate) networks: Vec<Network>,
}

/// One VM.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Vm {
    pub(crate) name: String,
    /// "qemu", "namespace"
    pub(crate) hypervisor: String,
    /// "running", "paused", "booting", "ended" (the guest, not its hypervisor), "down"
    pub(crate) state: String,
    /// Its agent's channel: "connected", "waiting"
    pub(crate) channel: String,
    /// Empty until the agent has said hello.
    pub(crate) agent_version: String,
    /// NICs it may have at once.
    pub(crate) nic_limit: u32,
    /// NICs in pods.
    pub(crate) in_use: u32,
    /// NICs plugged and waiting.
    pub(crate) spare: u32,
    /// NICs that the guest did not give back.
    pub(crate) quarantined: u32,
    /// Spare NICs that the daemon keeps.
    pub(crate) warm_pool: u32,
    /// Its kernel has no IPv6: its pods have IPv4 alone.
    pub(crate) without_ipv6: bool,
    /// Why it is down, or cannot take a NIC; empty where nothing is amiss.
    pub(crate) trouble: String,
    /// Why its agent's channel is not open, where the host knows.
    pub(crate) channel_trouble: String,
    pub(crate) nics: Vec<Nic>,
}

/// One NIC.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Nic {
    pub(crate) nic_id: u32,
    /// Word of the lifecycle, such as "Spare" or "InUse".
    pub(crate) phase: String,
    /// Address it was plugged with.
    pub(crate) nic_mac: String,
    /// Address the pod uses; empty for a NIC in no pod.
    pub(crate) pod_mac: String,
    /// The host's end.
    pub(crate) link: String,
    pub(crate) network: String,
    pub(crate) attachment: Option<Attachment>,
    pub(crate) pod: Option<Pod>,
    /// With prefix length.
    pub(crate) addresses: Vec<String>,
    /// In the guest; empty where there is no PCI.
    pub(crate) pci_address: String,
    pub(crate) guard: Guard,
    /// Of a fraction's endpoint, which has no guard and no addresses.
    pub(crate) membership: Option<Membership>,
    /// What is amiss with the host's end, in sentences.
    pub(crate) faults: Vec<String>,
}

/// A fraction's place in its loopback group.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Membership {
    pub(crate) group: String,
    pub(crate) fraction: String,
    /// From 0.
    pub(crate) place: u32,
    /// The most fractions that the group will have.
    pub(crate) size: u32,
}

/// Packets since the NIC was attached.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Guard {
    pub(crate) passed: u64,
    pub(crate) passed_bytes: u64,
    /// By reason.
    pub(crate) dropped: BTreeMap<String, u64>,
}

/// One pod interface.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Attachment {
    pub(crate) container_id: String,
    pub(crate) interface: String,
}

/// Who it is for, as Kubernetes said.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// One pod network.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Network {
    pub(crate) name: String,
    pub(crate) bridge: String,
    /// "nat", "none", or the enslaved interface
    pub(crate) uplink: String,
    pub(crate) mtu_bytes: u32,
    pub(crate) subnets: Vec<Subnet>,
}

/// One address range.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Subnet {
    pub(crate) prefix: String,
    pub(crate) gateway: String,
    pub(crate) in_use: u64,
    /// Released and resting.
    pub(crate) cooling: u64,
    /// Saturates at 2^64 - 1.
    pub(crate) free: u64,
}

/// `nestless trace --json`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Trace {
    pub(crate) vm: String,
    pub(crate) attachment: Option<Attachment>,
    pub(crate) pod: Option<Pod>,
    /// From the pod outwards.
    pub(crate) hops: Vec<Hop>,
}

/// One device on a packet's way.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Hop {
    /// "pod", "guest", "hypervisor", "host", "outside"
    pub(crate) place: String,
    pub(crate) device: String,
    /// "virtio-net", "tap", "veth", "bridge", "nat", "interface", "steer"
    pub(crate) kind: String,
    pub(crate) detail: String,
    /// Whether the daemon saw it in place just now.
    pub(crate) seen: bool,
}

impl From<proto::StatusResponse> for Status {
    fn from(p: proto::StatusResponse) -> Self {
        Self {
            version: p.version,
            uptime_s: p.uptime_s,
            vms: p.vms.into_iter().map(Vm::from).collect(),
            networks: p.networks.into_iter().map(Network::from).collect(),
        }
    }
}

impl From<proto::VmStatus> for Vm {
    fn from(p: proto::VmStatus) -> Self {
        Self {
            name: p.name,
            hypervisor: p.hypervisor,
            state: p.state,
            channel: p.channel,
            agent_version: p.agent_version,
            nic_limit: p.nic_limit,
            in_use: p.in_use,
            spare: p.spare,
            quarantined: p.quarantined,
            warm_pool: p.warm_pool,
            without_ipv6: p.without_ipv6,
            trouble: p.trouble,
            channel_trouble: p.channel_trouble,
            nics: p.nics.into_iter().map(Nic::from).collect(),
        }
    }
}

impl From<proto::NicStatus> for Nic {
    fn from(p: proto::NicStatus) -> Self {
        Self {
            nic_id: p.nic_id,
            phase: p.phase,
            nic_mac: p.nic_mac,
            pod_mac: p.pod_mac,
            link: p.link,
            network: p.network,
            attachment: p.attachment.map(Attachment::from),
            pod: p.pod.map(Pod::from),
            addresses: p.addresses,
            pci_address: p.pci_address,
            guard: p.guard.map(Guard::from).unwrap_or_default(),
            membership: p.membership.map(Membership::from),
            faults: p.faults,
        }
    }
}

impl From<proto::GuardCounters> for Guard {
    fn from(p: proto::GuardCounters) -> Self {
        Self { passed: p.passed, passed_bytes: p.passed_bytes, dropped: p.dropped.into_iter().collect() }
    }
}

impl From<proto::Membership> for Membership {
    fn from(p: proto::Membership) -> Self {
        Self { group: p.group, fraction: p.fraction, place: p.place, size: p.size }
    }
}

impl From<proto::AttachmentId> for Attachment {
    fn from(p: proto::AttachmentId) -> Self {
        Self { container_id: p.container_id, interface: p.interface }
    }
}

impl From<proto::PodRef> for Pod {
    fn from(p: proto::PodRef) -> Self {
        Self { namespace: p.namespace, name: p.name, uid: p.uid }
    }
}

impl From<proto::NetworkStatus> for Network {
    fn from(p: proto::NetworkStatus) -> Self {
        let subnet = |s: proto::SubnetStatus| Subnet {
            prefix: s.prefix,
            gateway: s.gateway,
            in_use: s.in_use,
            cooling: s.cooling,
            free: s.free,
        };
        Self {
            name: p.name,
            bridge: p.bridge,
            uplink: p.uplink,
            mtu_bytes: p.mtu_bytes,
            subnets: p.subnets.into_iter().map(subnet).collect(),
        }
    }
}

impl From<proto::TraceResponse> for Trace {
    fn from(p: proto::TraceResponse) -> Self {
        let hop = |h: proto::Hop| Hop {
            place: h.place,
            device: h.device,
            kind: h.kind,
            detail: h.detail,
            seen: h.seen,
        };
        Self {
            vm: p.vm,
            attachment: p.attachment.map(Attachment::from),
            pod: p.pod.map(Pod::from),
            hops: p.hops.into_iter().map(hop).collect(),
        }
    }
}
