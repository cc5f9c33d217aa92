//! Between the wire and the model. What comes from a guest is checked here, once.

use nestless_host::vm::AttachRequest;
use nestless_model::{
    address::AddressRequest,
    attachment::{Granted, NicRecord, PodRef},
    guard::RateLimit,
    identity::{AttachmentId, Mac, NetworkName},
    network::Network,
};
use nestless_proto::{self as proto, Refusal, refusal::Reason};
use std::net::IpAddr;

/// A pod's namespace, name and uid, and a sandbox's path, are text for people; this much of it is stored.
const MAX_TEXT_BYTES: usize = 512;
/// One of each family, and room to be told that it is too many.
const MAX_ADDRESSES: usize = 8;

fn invalid(field: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Invalid, format!("{field}: {why}"))
}

pub(super) fn attachment_id(id: Option<proto::AttachmentId>) -> Result<AttachmentId, Refusal> {
    let id = id.ok_or_else(|| invalid("attachment", "missing"))?;
    Ok(AttachmentId {
        container: id.container_id.try_into().map_err(|e| invalid("attachment.container_id", e))?,
        interface: id.interface.try_into().map_err(|e| invalid("attachment.interface", e))?,
    })
}

pub(super) fn attach_request(request: proto::AttachRequest) -> Result<AttachRequest, Refusal> {
    let network = (!request.network.is_empty()).then(|| NetworkName::new(request.network)).transpose();
    let mac = (!request.mac.is_empty()).then(|| request.mac.parse::<Mac>()).transpose();
    let mac = mac.map_err(|e| invalid("mac", e))?;
    if let Some(mac) = mac {
        check_mac(mac)?;
    }
    if request.addresses.len() > MAX_ADDRESSES {
        return Err(invalid("addresses", "ask for one of each subnet at most"));
    }
    let addresses = request.addresses.iter().map(|text| static_address(text)).collect::<Result<_, _>>()?;
    Ok(AttachRequest {
        request: request.request_id.try_into().map_err(|e| invalid("request_id", e))?,
        id: attachment_id(request.attachment)?,
        network: network.map_err(|e| invalid("network", e))?,
        addresses: AddressRequest { addresses, mac },
        egress: rate_limit("egress", request.egress)?,
        ingress: rate_limit("ingress", request.ingress)?,
        sandbox: text("sandbox", request.sandbox)?,
        pod: pod_ref(request.pod.unwrap_or_default())?,
    })
}

/// A bridge learns from what is sent: an address that belongs to something else would draw that one's traffic to the pod.
fn check_mac(mac: Mac) -> Result<(), Refusal> {
    if mac.is_nic() {
        let why = format!("{mac} begins like the NICs' own addresses; choose another prefix than 4e:4c");
        return Err(invalid("mac", why));
    }
    if !mac.is_local() {
        let why = format!(
            "{mac} is an address of a manufacturer's, which a router or a machine of the outer network may have; choose one \
             that is locally administered, such as 02:00:5e:10:00:01 (second digit 2, 6, a or e)"
        );
        return Err(invalid("mac", why));
    }
    Ok(())
}

fn static_address(text: &str) -> Result<IpAddr, Refusal> {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    address.parse().map_err(|_| invalid("addresses", format!("{text:?} is not an IP address")))
}

fn rate_limit(field: &str, limit: Option<proto::RateLimit>) -> Result<Option<RateLimit>, Refusal> {
    let Some(limit) = limit.filter(|limit| limit.bits_per_second != 0) else { return Ok(None) };
    if limit.bits_per_second < 8 {
        return Err(invalid(field, "less than one byte a second lets nothing through"));
    }
    Ok(Some(RateLimit { bits_per_second: limit.bits_per_second, burst_bits: limit.burst_bits }))
}

fn pod_ref(pod: proto::PodRef) -> Result<PodRef, Refusal> {
    Ok(PodRef {
        namespace: text("pod.namespace", pod.namespace)?,
        name: text("pod.name", pod.name)?,
        uid: text("pod.uid", pod.uid)?,
    })
}

fn text(field: &str, text: String) -> Result<String, Refusal> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(invalid(field, format!("longer than {MAX_TEXT_BYTES} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(field, "control characters"));
    }
    Ok(text)
}

pub(super) fn attach_response(granted: &Granted, network: Option<&Network>) -> proto::AttachResponse {
    proto::AttachResponse {
        nic_id: granted.nic.0,
        nic_mac: granted.nic_mac.to_string(),
        pod_mac: granted.pod_mac.to_string(),
        addresses: granted.addresses.iter().map(ToString::to_string).collect(),
        routes: network.map(default_routes).unwrap_or_default(),
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
    })
}

pub(super) fn wire_id(id: &AttachmentId) -> proto::AttachmentId {
    proto::AttachmentId { container_id: id.container.to_string(), interface: id.interface.to_string() }
}

pub(super) fn wire_pod(pod: &PodRef) -> proto::PodRef {
    proto::PodRef { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() }
}

/// A default route per family that has a next hop.
fn default_routes(network: &Network) -> Vec<proto::Route> {
    let gateways = network.subnets.iter().filter_map(|subnet| network.gateway(subnet));
    gateways
        .map(|gateway| proto::Route {
            destination: if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" }.to_owned(),
            gateway: gateway.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_mac(mac: &str) -> Result<AttachRequest, Refusal> {
        attach_request(proto::AttachRequest {
            request_id: "r".into(),
            attachment: Some(proto::AttachmentId { container_id: "c".into(), interface: "eth0".into() }),
            mac: mac.into(),
            ..proto::AttachRequest::default()
        })
    }

    #[test]
    fn a_pod_cannot_ask_for_an_address_that_may_be_someone_else_s() {
        assert_eq!(
            with_mac("02:00:5e:10:00:01").unwrap().addresses.mac.unwrap().to_string(),
            "02:00:5e:10:00:01"
        );
        for (mac, why) in [
            ("4e:4c:00:01:00:05", "begins like the NICs' own addresses"),
            ("00:00:5e:00:01:07", "locally administered, such as 02:00:5e:10:00:01"),
            ("01:00:5e:00:00:01", "not unicast"),
        ] {
            let refusal = with_mac(mac).unwrap_err();
            assert_eq!(refusal.reason(), Reason::Invalid);
            assert!(refusal.message.contains(why), "{}", refusal.message);
        }
    }
}
