//! What the ledger keeps of a NIC.

use crate::{
    guard::{GuardRules, RateLimit},
    identity::{AttachmentId, Mac, Mtu, NetworkName, NicId, RequestId, VmName},
    loopback::Membership,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One NIC, as it must survive a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicRecord {
    /// Its id.
    pub nic: NicId,
    /// The VM it is (to be) plugged into.
    pub vm: VmName,
    /// The network whose bridge it joins.
    pub network: NetworkName,
    /// Plug-time address.
    pub mac: Mac,
    /// That of its network when it was planned.
    pub mtu: Mtu,
    /// What it is for.
    pub goal: Goal,
    /// What the pools hold for it. Outlives the attachment: given back only when nobody can use it any more.
    #[serde(default)]
    pub held: Held,
    /// The guest did not let go of it in time.
    #[serde(default)]
    pub quarantined: bool,
}

/// What a NIC is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// A pod's interface.
    Serve(Box<Attachment>),
    /// Plugged, and nobody's.
    Spare,
    /// To be unplugged and forgotten.
    Remove,
}

/// What the pools hold for a NIC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Addresses with their subnet's prefix length.
    pub addresses: Vec<IpNet>,
    /// A MAC address that the pod asked for.
    pub pod_mac: Option<Mac>,
    /// A place in a loopback group: the NIC is no pod's interface then, but a fraction's endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loopback: Option<Membership>,
}

impl Held {
    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.pod_mac.is_none() && self.loopback.is_none()
    }

    /// The addresses without prefix length.
    pub fn ips(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(IpNet::addr).collect()
    }
}

/// One pod interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// (container id, interface name)
    pub id: AttachmentId,
    /// The request that made it: the same one again gets the same answer.
    pub request: RequestId,
    /// Limit on what the pod sends.
    pub egress: Option<RateLimit>,
    /// Limit on what the pod receives.
    pub ingress: Option<RateLimit>,
    /// The sandbox, in the guest's own words.
    pub sandbox: String,
    /// Who it is for.
    pub pod: PodRef,
    /// The guest has said that the NIC serves the pod.
    pub confirmed: bool,
    /// Where the guest found it; empty if it did not say.
    pub pci_address: String,
}

/// A pod, as Kubernetes calls it. Empty strings where nobody said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Unique id.
    pub uid: String,
}

impl NicRecord {
    /// The pod interface it serves, if any.
    pub fn attachment(&self) -> Option<&Attachment> {
        match &self.goal {
            Goal::Serve(attachment) => Some(attachment),
            Goal::Spare | Goal::Remove => None,
        }
    }

    /// What the guest is to set, and the host's end has.
    pub fn served_mtu(&self) -> Mtu {
        if self.membership().is_some() { Mtu::OF_ENDPOINTS } else { self.mtu }
    }

    /// The address the pod sends from.
    pub fn pod_mac(&self) -> Mac {
        self.held.pod_mac.unwrap_or(self.mac)
    }

    /// The loopback group that it is an endpoint of, while it serves a fraction.
    pub fn membership(&self) -> Option<&Membership> {
        self.attachment().and(self.held.loopback.as_ref())
    }

    /// What the guard lets out while it serves a pod; `None` when it may send nothing, or nothing by the guard.
    pub fn guard_rules(&self) -> Option<GuardRules> {
        let attachment = self.attachment().filter(|_| self.held.loopback.is_none())?;
        Some(GuardRules {
            mac: self.pod_mac(),
            addresses: self.held.ips(),
            dhcp_server: false,
            router: false,
            egress: attachment.egress,
            ingress: attachment.ingress,
        })
    }
}
