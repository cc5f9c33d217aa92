//! From the model to the wire.

use nestless_model::{
    attachment::{Granted, NicRecord, PodRef, Reservation},
    identity::AttachmentId,
    loopback::Membership,
    network::Network,
};
use nestless_proto as proto;
use std::net::IpAddr;

pub(super) fn attach_response(granted: &Granted, network: Option<&Network>) -> proto::AttachResponse {
    proto::AttachResponse {
        nic_id: granted.nic.0,
        nic_mac: granted.nic_mac.to_string(),
        pod_mac: granted.pod_mac.to_string(),
        addresses: granted.purpose.addresses().iter().map(ToString::to_string).collect(),
        routes: network.map(|network| default_routes(network, granted)).unwrap_or_default(),
        mtu_bytes: granted.mtu.bytes(),
        dns_servers: network.map(|n| n.dns.iter().map(ToString::to_string).collect()).unwrap_or_default(),
        warm: granted.warm,
        network: granted.network.to_string(),
    }
}

pub(super) fn attachment(record: &NicRecord, network: Option<&Network>) -> Option<proto::Attachment> {
    let served = record.attachment()?;
    let granted = Granted::of(record, false);
    Some(proto::Attachment {
        attachment: Some(wire_id(&served.id)),
        nic: Some(attach_response(&granted, network)),
        sandbox: served.sandbox.clone(),
        pod: Some(wire_pod(&served.pod)),
        in_use: served.confirmed,
        membership: record.membership().map(wire_membership),
    })
}

pub(super) fn join_response(granted: &Granted) -> proto::JoinResponse {
    proto::JoinResponse {
        nic_id: granted.nic.0,
        nic_mac: granted.nic_mac.to_string(),
        mtu_bytes: granted.mtu.bytes(),
        warm: granted.warm,
        membership: granted.purpose.membership().map(wire_membership),
    }
}

pub(super) fn reservation(
    reservation: &Reservation,
    network: Option<&Network>,
) -> proto::ReserveAddressResponse {
    let address = reservation.address.addr();
    let gateway = network.and_then(|network| {
        let subnet = network.subnets.iter().find(|subnet| subnet.prefix.contains(&address))?;
        network.gateway(subnet)
    });
    proto::ReserveAddressResponse {
        address: reservation.address.to_string(),
        gateway: gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        network: reservation.network.to_string(),
    }
}

pub(super) fn wire_membership(membership: &Membership) -> proto::Membership {
    proto::Membership {
        group: membership.group.to_string(),
        fraction: membership.fraction.to_string(),
        place: membership.place.number().into(),
        size: membership.size.into(),
    }
}

pub(super) fn wire_id(id: &AttachmentId) -> proto::AttachmentId {
    proto::AttachmentId { container_id: id.container.to_string(), interface: id.interface.to_string() }
}

pub(super) fn wire_pod(pod: &PodRef) -> proto::PodRef {
    proto::PodRef { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() }
}

/// A default route per family that has a next hop.
/// Of the families that it has an address of.
fn default_routes(network: &Network, granted: &Granted) -> Vec<proto::Route> {
    let has = |gateway: &IpAddr| granted.purpose.ips().iter().any(|ip| ip.is_ipv4() == gateway.is_ipv4());
    let gateways = network.subnets.iter().filter_map(|subnet| network.gateway(subnet));
    gateways
        .filter(has)
        .map(|gateway| proto::Route {
            destination: if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" }.to_owned(),
            gateway: gateway.to_string(),
        })
        .collect()
}
