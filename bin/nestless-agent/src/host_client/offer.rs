//! The host's answers in our own types.

use super::{error::HostError, wish::Purpose};
use ipnet::IpNet;
use nestless_guest::{
    loopback_endpoint::PortSlice,
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
    pub(crate) mtu: Mtu,
    /// The guest should see it already.
    pub(crate) warm: bool,
    /// A fraction's endpoint chooses from the ports.
    pub(crate) purpose: Purpose<OfferedPod, PortSlice>,
}

/// What a pod's interface has.
#[derive(Debug, Clone)]
pub(crate) struct OfferedPod {
    pub(crate) mac: Mac,
    pub(crate) addresses: Vec<IpNet>,
    pub(crate) routes: Vec<PodRoute>,
    pub(crate) dns_servers: Vec<String>,
}

/// An attachment that the host knows.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) attachment: AttachmentId,
    pub(crate) nic: Mac,
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
        let addresses = answer.addresses.iter().map(|text| parse("an address", text));
        Ok(Self {
            nic_mac: parse("nic_mac", &answer.nic_mac)?,
            mtu: mtu(answer.mtu_bytes)?,
            warm: answer.warm,
            purpose: Purpose::Pod(OfferedPod {
                mac: parse("pod_mac", &answer.pod_mac)?,
                addresses: addresses.collect::<Result<_, _>>()?,
                routes: routes.collect::<Result<_, HostError>>()?,
                dns_servers: answer.dns_servers,
            }),
        })
    }

    pub(super) fn read_join(answer: JoinResponse) -> Result<Self, HostError> {
        let missing = || HostError::Nonsense { what: "an endpoint without a place".to_owned() };
        Ok(Self {
            nic_mac: parse("nic_mac", &answer.nic_mac)?,
            mtu: mtu(answer.mtu_bytes)?,
            warm: answer.warm,
            purpose: Purpose::Endpoint(ports(&answer.membership.ok_or_else(missing)?)?),
        })
    }

    /// The address that the NIC is to have while it is in use.
    pub(crate) fn mac(&self) -> Mac {
        match &self.purpose {
            Purpose::Pod(pod) => pod.mac,
            Purpose::Endpoint(_) => self.nic_mac,
        }
    }

    /// What is left of it where the kernel has no IPv6; whether something was taken away. A host that has heard of that gives
    /// none; an older one does.
    pub(crate) fn drop_ipv6(&mut self) -> bool {
        let Purpose::Pod(pod) = &mut self.purpose else { return false };
        let before = pod.addresses.len();
        pod.addresses.retain(|address| address.addr().is_ipv4());
        pod.routes.retain(|route| route.destination.addr().is_ipv4());
        pod.addresses.len() < before
    }

    /// None for an endpoint.
    pub(crate) fn addresses(&self) -> &[IpNet] {
        match &self.purpose {
            Purpose::Pod(pod) => &pod.addresses,
            Purpose::Endpoint(_) => &[],
        }
    }

    pub(crate) fn pod_nic(&self, pod: &OfferedPod, interface: &InterfaceName) -> PodNic {
        PodNic {
            nic_mac: self.nic_mac,
            interface: interface.clone(),
            pod_mac: pod.mac,
            mtu: self.mtu,
            addresses: pod.addresses.clone(),
            routes: pod.routes.clone(),
        }
    }
}

impl Listed {
    pub(super) fn read(listed: Attachment) -> Result<Self, HostError> {
        let missing = |what: &str| HostError::Nonsense { what: format!("an attachment without {what}") };
        let id = listed.attachment.ok_or_else(|| missing("an id"))?;
        let nic = listed.nic.ok_or_else(|| missing("a NIC"))?;
        Ok(Self {
            attachment: AttachmentId {
                container: parse("a container id", &id.container_id)?,
                interface: parse("an interface name", &id.interface)?,
            },
            nic: parse("nic_mac", &nic.nic_mac)?,
            sandbox: listed.sandbox,
            in_use: listed.in_use,
        })
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
