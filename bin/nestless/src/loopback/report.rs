//! What `nestless loopback ... --json` prints.

use crate::report::{Attachment, Pod};
use nestless_proto as proto;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// `nestless loopback ls --json`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Groups {
    /// By name.
    pub(crate) groups: Vec<Group>,
    /// Frames from links that are in no group.
    pub(crate) strangers: Counters,
}

/// `nestless loopback show --json`
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Shown")]
pub(crate) struct GroupFlows {
    pub(crate) group: Group,
    /// The first 4096.
    pub(crate) flows: Vec<Flow>,
    /// How many there are in all.
    pub(crate) flow_count: u32,
}

/// The localhost of one split pod.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Whose it is: "tenant:NAME", or "vm:NAME" of a VM without a tenant. Groups of two owners may have one name.
    pub(crate) owner: String,
    /// The most fractions that it will have.
    pub(crate) size: u32,
    /// By place.
    pub(crate) fractions: Vec<Fraction>,
    /// Of all fractions, those that left included.
    pub(crate) counters: Counters,
    /// Who had the places that are free now.
    pub(crate) left: Vec<LeftFraction>,
}

/// A fraction that left, or went with its NIC.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LeftFraction {
    pub(crate) name: String,
    pub(crate) place: u32,
    pub(crate) vm: String,
}

/// One part of a split pod.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Fraction {
    pub(crate) name: String,
    /// From 0.
    pub(crate) place: u32,
    pub(crate) vm: String,
    pub(crate) attachment: Option<Attachment>,
    pub(crate) pod: Option<Pod>,
    /// The host's end of its endpoint.
    pub(crate) link: String,
    /// Word of the lifecycle, such as "InUse".
    pub(crate) phase: String,
    /// Whether the reflector hangs on the link.
    pub(crate) reflected: bool,
    /// What it sent since it joined.
    pub(crate) counters: Counters,
    /// The other VM that the fraction was in before; empty if there was none.
    pub(crate) before: String,
}

/// What endpoints sent.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Counters {
    pub(crate) bytes: u64,
    /// Packets, by how the reflector judged them.
    pub(crate) packets: BTreeMap<String, u64>,
}

/// What the group knows of one connection, or of the datagrams between two ports.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Flow {
    /// "tcp", "udp"
    pub(crate) protocol: String,
    /// The end that asked.
    pub(crate) source: String,
    pub(crate) destination: String,
    /// Fraction; empty when it has left.
    pub(crate) asker: String,
    /// Fraction; empty while the question is open.
    pub(crate) answerer: String,
    /// "opening", "resuming", "bound"
    pub(crate) state: String,
    /// Fractions whose refusals are missing.
    pub(crate) waiting: Vec<String>,
}

impl From<proto::ListGroupsResponse> for Groups {
    fn from(p: proto::ListGroupsResponse) -> Self {
        Self {
            groups: p.groups.into_iter().map(Group::from).collect(),
            strangers: p.strangers.map(Counters::from).unwrap_or_default(),
        }
    }
}

impl From<proto::ShowGroupResponse> for GroupFlows {
    fn from(p: proto::ShowGroupResponse) -> Self {
        let flow = |f: proto::Flow| Flow {
            protocol: f.protocol,
            source: f.source,
            destination: f.destination,
            asker: f.asker,
            answerer: f.answerer,
            state: f.state,
            waiting: f.waiting,
        };
        Self {
            group: p.group.map(Group::from).unwrap_or_default(),
            flows: p.flows.into_iter().map(flow).collect(),
            flow_count: p.flow_count,
        }
    }
}

impl From<proto::Group> for Group {
    fn from(p: proto::Group) -> Self {
        let fraction = |f: proto::Fraction| Fraction {
            name: f.name,
            place: f.place,
            vm: f.vm,
            attachment: f.attachment.map(Attachment::from),
            pod: f.pod.map(Pod::from),
            link: f.link,
            phase: f.phase,
            reflected: f.reflected,
            counters: f.counters.map(Counters::from).unwrap_or_default(),
            before: f.before,
        };
        let left = |f: proto::LeftFraction| LeftFraction { name: f.name, place: f.place, vm: f.vm };
        Self {
            name: p.name,
            owner: p.owner,
            size: p.size,
            fractions: p.fractions.into_iter().map(fraction).collect(),
            counters: p.counters.map(Counters::from).unwrap_or_default(),
            left: p.left.into_iter().map(left).collect(),
        }
    }
}

impl Group {
    /// As commands take it, and no other group is called. An earlier daemon does not say whose it is.
    pub(crate) fn whole_name(&self) -> String {
        if self.owner.is_empty() { self.name.clone() } else { format!("{}/{}", self.owner, self.name) }
    }
}

impl From<proto::ReflectorCounters> for Counters {
    fn from(p: proto::ReflectorCounters) -> Self {
        Self { bytes: p.bytes, packets: p.packets.into_iter().collect() }
    }
}
