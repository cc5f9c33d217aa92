//! What the ledger keeps of a NIC, and of an address that is reserved.

use super::purpose::{Guarding, Purpose};
use crate::{
    guard::{GuardRules, RateLimit},
    identity::{AttachmentId, Mac, Mtu, NetworkName, NicId, RequestId, VmName},
    loopback::Membership,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// One NIC, as it must survive a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicRecord {
    /// Its id.
    pub nic: NicId,
    /// The VM it is (to be) plugged into.
    pub vm: VmName,
    /// The network whose bridge its host end is a port of.
    pub network: NetworkName,
    /// Plug-time address.
    pub mac: Mac,
    /// That of its network when it was planned.
    pub mtu: Mtu,
    /// What is to become of it.
    pub goal: Goal,
    /// What it serves, or served last, and what the pools hold for that. Outlives the attachment: given back only when nobody
    /// can use it any more.
    #[serde(default, rename = "held")]
    pub purpose: Purpose,
    /// The guest did not let go of it in time.
    #[serde(default)]
    pub quarantined: bool,
    /// A pod had it, and the guest has not said since that it waits: it serves nobody else before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returning: bool,
}

/// What is to become of a NIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// To serve a pod or a fraction, as its purpose says.
    Serve(Box<Attachment>),
    /// Plugged, and nobody's.
    Spare,
    /// To be unplugged and forgotten.
    Remove,
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

    /// What it serves now.
    pub fn serves(&self) -> Option<&Purpose> {
        self.attachment().map(|_| &self.purpose)
    }

    /// The loopback group that it is an endpoint of, while it serves a fraction.
    pub fn membership(&self) -> Option<&Membership> {
        self.serves().and_then(Purpose::membership)
    }

    /// Whether it serves a fraction, or served one that has not left its group yet.
    pub(super) fn is_for_endpoint(&self) -> bool {
        self.purpose.membership().is_some()
    }

    /// The address the pod sends from.
    pub fn pod_mac(&self) -> Mac {
        self.purpose.mac().unwrap_or(self.mac)
    }

    /// What the guest is to set, and the host's end has.
    pub fn served_mtu(&self) -> Mtu {
        match self.serves() {
            Some(Purpose::Endpoint(_)) => Mtu::OF_ENDPOINTS,
            Some(Purpose::Pod { .. }) | None => self.mtu,
        }
    }

    /// Whether its host end belongs in its network's bridge, or in none.
    pub fn belongs_in_bridge(&self) -> bool {
        match self.serves() {
            Some(Purpose::Endpoint(_)) => false,
            Some(Purpose::Pod { .. }) | None => true,
        }
    }

    /// What may leave it: nothing while it serves nobody.
    pub fn guarding(&self) -> Guarding {
        let Some(attachment) = self.attachment() else { return Guarding::Closed };
        match &self.purpose {
            Purpose::Endpoint(membership) => Guarding::Reflected(membership.clone()),
            Purpose::Pod { .. } => Guarding::Open(GuardRules {
                mac: self.pod_mac(),
                addresses: self.purpose.ips(),
                dhcp_server: false,
                router: false,
                egress: attachment.egress,
                ingress: attachment.ingress,
            }),
        }
    }
}

/// One address, as it must survive a crash. Nobody else gets it before the VM says that it has no more use for it, or is a
/// VM no more: another boot of its guest, or no configuration of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Who keeps it.
    pub vm: VmName,
    /// Of which network.
    pub network: NetworkName,
    /// With its subnet's prefix length.
    pub address: IpNet,
    /// The request that made it: the same one again gets the same answer.
    pub request: RequestId,
}

impl Reservation {
    /// Whether the NIC has the address, or had it and its guest has not let go yet.
    pub fn is_held_by(&self, record: &NicRecord) -> bool {
        record.network == self.network && record.purpose.ips().contains(&self.address.addr())
    }
}
