//! What a VM's task asks of the host ends of its NICs: which bridge, which guard, which loopback group.

use async_trait::async_trait;
use nestless_model::{
    guard::GuardRules,
    identity::{LinkName, Mac, Mtu, NetworkName, NicId, VmName},
    loopback::Membership,
};
use std::collections::BTreeMap;

/// The host ends of all NICs, whichever VM they belong to.
#[async_trait]
pub trait HostEnds: Send + Sync {
    /// Hangs the guard on a link and lets it drop everything. A loopback group that the link was in hears of its end.
    async fn close(&self, link: &LinkName) -> Result<(), HostEndError>;

    /// Hangs the guard on a link with these rules.
    async fn protect(&self, link: &LinkName, rules: &GuardRules) -> Result<(), HostEndError>;

    /// Puts the guarded host end of a VM's NIC into the network's bridge, and brings it up.
    async fn enslave(&self, vm: &VmName, nic: NicId, network: &NetworkName) -> Result<(), HostEndError>;

    /// Takes the host end of a VM's NIC out of any bridge, and brings it up.
    async fn isolate(&self, vm: &VmName, nic: NicId, mtu: Mtu) -> Result<(), HostEndError>;

    /// Makes a link that is in no bridge an endpoint of a loopback group, in the guard's stead.
    async fn reflect(&self, link: &LinkName, membership: &Membership) -> Result<(), HostEndError>;

    /// Where the host, or the network's bridge, knows a MAC address that is no pod's: a link of the host's, or a station behind
    /// one. `None`: nowhere.
    async fn mac_elsewhere(&self, network: &NetworkName, mac: Mac) -> Result<Option<String>, HostEndError>;

    /// All host ends that exist. What is left of others is forgotten.
    async fn observe(&self) -> Result<BTreeMap<NicId, HostEndSeen>, HostEndError>;
}

/// A host end that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostEndSeen {
    /// Set up.
    pub up: bool,
    /// The bridge that it is in.
    pub bridge: Option<String>,
    /// Guard programs hang on it.
    pub guarded: bool,
    /// It is in a loopback group, and the reflector hangs on it.
    pub reflected: bool,
    /// Another's program stands before guard or reflector. Its port was closed for that.
    pub overtaken: bool,
}

/// Bridge, link or guard refused.
#[derive(Debug, thiserror::Error)]
#[error("{operation} of {object}")]
pub struct HostEndError {
    /// "guard", "bridge port", ...
    pub operation: &'static str,
    /// The link or network.
    pub object: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
