//! The host's answers in our own types.

use super::HostError;
use ipnet::IpNet;
use nestless_guest::{
    loopback_endpoint::{LoopbackEndpoint, PortSlice},
    pod_nic::{PodNic, PodRoute},
};
use nestless_model::{
    identity::{AttachmentId, InterfaceName, Mac, Mtu},
    loopback::{GroupSize, Place},
};
use nestless_proto::{AttachResponse, Attachment, JoinResponse, Membership};
use std::{fmt::Display, net::IpAddr, str::FromStr};

/// A NIC that the host gives.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) nic_mac: Mac,
    pub(crate) pod_mac: Mac,
    pub(crate) addresses: Vec<IpNet>,
    pub(crate) routes: Vec<PodRoute>,
    pub(crate) mtu: Mtu,
    pub(crate) dns_servers: Vec<String>,
    /// The guest should see it already.
    pub(crate) warm: bool,
    /// It is for a fraction's endpoint, which chooses from these.
    pub(crate) ports: Option<PortSlice>,
}

/// An attachment that the host knows.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) attachment: AttachmentId,
    pub(crate) offer: Offer,
    pub(crate) sandbox: String,
    pub(crate) in_use: bool,
}

impl Offer {
    pub(super) fn read(answer: AttachResponse) -> Result<Self, HostError> {
        let routes = answer.routes.iter().map(|route| {
            let gateway = Some(route.gateway.as_str()).filter(|gateway| !gateway.is_empty());
            Ok(PodRoute {
                destination: parse("a route's destination", &route.destination)?,
                gateway: gateway.map(|gateway| parse::<IpAddr>("a route's gateway", gateway)).transpose()?,
            })
        });
        Ok(Self {
            nic_mac: parse("nic_mac", &answer.nic_mac)?,
            pod_mac: parse("pod_mac", &answer.pod_mac)?,
            addresses: answer
                .addresses
                .iter()
                .map(|text| parse("an address", text))
                .collect::<Result<_, _>>()?,
            routes: routes.collect::<Result<_, HostError>>()?,
            mtu: mtu(answer.mtu_bytes)?,
            dns_servers: answer.dns_servers,
            warm: answer.warm,
            ports: None,
        })
    }

    pub(super) fn read_join(answer: JoinResponse) -> Result<Self, HostError> {
        let missing = || HostError::Nonsense { what: "an endpoint without a place".to_owned() };
        let nic_mac = parse("nic_mac", &answer.nic_mac)?;
        Ok(Self {
            nic_mac,
            pod_mac: nic_mac,
            addresses: Vec::new(),
            routes: Vec::new(),
            mtu: mtu(answer.mtu_bytes)?,
            dns_servers: Vec::new(),
            warm: answer.warm,
            ports: Some(ports(&answer.membership.ok_or_else(missing)?)?),
        })
    }

    /// `None` when it is for a pod's interface.
    pub(crate) fn endpoint(&self) -> Option<LoopbackEndpoint> {
        Some(LoopbackEndpoint { nic_mac: self.nic_mac, mtu: self.mtu, ports: self.ports? })
    }

    pub(crate) fn pod_nic(&self, interface: &InterfaceName) -> PodNic {
        PodNic {
            nic_mac: self.nic_mac,
            interface: interface.clone(),
            pod_mac: self.pod_mac,
            mtu: self.mtu,
            addresses: self.addresses.clone(),
            routes: self.routes.clone(),
        }
    }
}

impl Listed {
    pub(super) fn read(listed: Attachment) -> Result<Self, HostError> {
        let missing = |what: &str| HostError::Nonsense { what: format!("an attachment without {what}") };
        let id = listed.attachment.ok_or_else(|| missing("an id"))?;
        Ok(Self {
            attachment: AttachmentId {
                container: parse("a container id", &id.container_id)?,
                interface: parse("an interface name", &id.interface)?,
            },
            offer: Offer::read(listed.nic.ok_or_else(|| missing("a NIC"))?)?,
            sandbox: listed.sandbox,
            in_use: listed.in_use,
        })
    }
}

pub(super) fn wire_id(attachment: &AttachmentId) -> nestless_proto::AttachmentId {
    nestless_proto::AttachmentId {
        container_id: attachment.container.to_string(),
        interface: attachment.interface.to_string(),
    }
}

fn mtu(bytes: u32) -> Result<Mtu, HostError> {
    Mtu::new(bytes).map_err(|e| HostError::Nonsense { what: e.to_string() })
}

fn ports(membership: &Membership) -> Result<PortSlice, HostError> {
    let Membership { place, size, .. } = *membership;
    let number = u8::try_from(place).ok();
    let slice = GroupSize::try_from(size).ok().zip(number.and_then(Place::new));
    let slice = slice.and_then(|(size, place)| PortSlice::of_place(place, size));
    slice.ok_or_else(|| HostError::Nonsense { what: format!("place {place} of {size}") })
}

fn parse<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, HostError> {
    text.parse().map_err(|e| HostError::Nonsense { what: format!("{what} {text:?}: {e}") })
}
