//! What guests and operators send, made into the model's words: every field is checked here, once. Nothing is trusted, and
//! nothing panics.

use super::Refusal;
use nestless_host::vm::{AttachRequest, Reported, ReserveRequest};
use nestless_model::{
    address::{AddressRequest, Family, RequestedAddress, ReservationWish},
    attachment::{PodRef, Wish},
    guard::RateLimit,
    identity::{AttachmentId, BootId, ENDPOINT_INTERFACE, GroupName, Mac, NetworkName, RequestId},
    loopback::{GroupSize, JoinWish, Owner},
    refusal::Reason,
};
use nestless_proto as proto;
use std::{fmt, net::IpAddr};

/// A sandbox's path, and a pod's namespace, name and uid, are text for people; this much of it is stored.
const MAX_SANDBOX_BYTES: usize = 512;
/// As long as a name of Kubernetes may be (RFC 1123 subdomain).
const MAX_POD_TEXT_BYTES: usize = 253;

/// As many NICs as any VM can have; a longer report is a lie.
const MAX_REPORTED: usize = 1024;
/// Characters of a guest's words that an answer or a log repeats.
const MAX_SHOWN: usize = 64;
const MAX_PCI_ADDRESS: usize = 32;

/// Which interface of which container.
///
/// # Errors
/// With the field and what was expected.
pub fn attachment_id(id: Option<proto::AttachmentId>) -> Result<AttachmentId, Refusal> {
    let id = id.ok_or_else(|| invalid("attachment", "missing"))?;
    Ok(AttachmentId {
        container: id.container_id.try_into().map_err(|e| invalid("attachment.container_id", e))?,
        interface: id.interface.try_into().map_err(|e| invalid("attachment.interface", e))?,
    })
}

/// What a pod is to get.
///
/// # Errors
/// With the field and what was expected.
pub fn attach_request(request: proto::AttachRequest) -> Result<AttachRequest, Refusal> {
    let mac = (!request.mac.is_empty()).then(|| request.mac.parse::<Mac>()).transpose();
    let mac = mac.map_err(|e| invalid("mac", e))?;
    if let Some(mac) = mac {
        check_mac(mac)?;
    }
    nestless_model::address::check_requested(request.addresses.len()).map_err(|e| invalid("addresses", e))?;
    let addresses =
        request.addresses.iter().map(|text| static_address("addresses", text)).collect::<Result<_, _>>()?;
    let id = attachment_id(request.attachment)?;
    if id.interface.as_str() == ENDPOINT_INTERFACE {
        let why = format!("{ENDPOINT_INTERFACE} is the name of loopback endpoints; choose another");
        return Err(invalid("attachment.interface", why));
    }
    Ok(AttachRequest {
        request: request.request_id.try_into().map_err(|e| invalid("request_id", e))?,
        id,
        network: network(request.network)?,
        wish: Wish::Pod(AddressRequest { addresses, mac, only: None }),
        egress: rate_limit("egress", request.egress)?,
        ingress: rate_limit("ingress", request.ingress)?,
        sandbox: text("sandbox", request.sandbox, MAX_SANDBOX_BYTES)?,
        pod: pod_ref(request.pod.unwrap_or_default())?,
    })
}

/// What a fraction is to get.
///
/// # Errors
/// With the field and what was expected.
pub fn join_request(request: proto::JoinRequest) -> Result<AttachRequest, Refusal> {
    let container = request.container_id.try_into().map_err(|e| invalid("container_id", e))?;
    let wish = JoinWish {
        group: request.group.try_into().map_err(|e| invalid("group", e))?,
        fraction: request.fraction.try_into().map_err(|e| invalid("fraction", e))?,
        size: group_size(request.size)?,
    };
    Ok(AttachRequest {
        request: request.request_id.try_into().map_err(|e| invalid("request_id", e))?,
        id: AttachmentId::of_endpoint(container),
        network: None,
        wish: Wish::Endpoint(wish),
        egress: None,
        ingress: None,
        sandbox: text("sandbox", request.sandbox, MAX_SANDBOX_BYTES)?,
        pod: pod_ref(request.pod.unwrap_or_default())?,
    })
}

fn group_size(number: u32) -> Result<Option<GroupSize>, Refusal> {
    (number != 0).then(|| number.try_into()).transpose().map_err(|e| invalid("size", e))
}

/// Which address to keep.
///
/// # Errors
/// With the field and what was expected.
pub fn reserve(request: proto::ReserveAddressRequest) -> Result<ReserveRequest, Refusal> {
    let any = if request.ipv6 { Family::V6 } else { Family::V4 };
    let wish = if request.address.is_empty() {
        ReservationWish::Any(any)
    } else {
        ReservationWish::This(static_address("address", &request.address)?)
    };
    Ok(ReserveRequest {
        request: request.request_id.try_into().map_err(|e| invalid("request_id", e))?,
        network: network(request.network)?,
        wish,
    })
}

/// Which address to keep no more.
///
/// # Errors
/// With the field and what was expected.
pub fn release(request: proto::ReleaseAddressRequest) -> Result<(Option<NetworkName>, IpAddr), Refusal> {
    RequestId::try_from(request.request_id).map_err(|e| invalid("request_id", e))?;
    Ok((network(request.network)?, static_address("address", &request.address)?))
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Which run of the VM.
    pub boot: BootId,
    /// The agent's version, as text for people.
    pub version: String,
    /// The guest's kernel has no IPv6.
    pub without_ipv6: bool,
}

/// Which run of the VM calls, and what its agent says of it.
///
/// # Errors
/// With the field and what was expected.
pub fn hello(request: proto::HelloRequest) -> Result<Hello, Refusal> {
    let boot = request.boot_id.try_into().map_err(|e| invalid("boot_id", e))?;
    let shown = request.agent_version.chars().filter(|c| !c.is_control()).take(MAX_SHOWN);
    Ok(Hello { boot, version: shown.collect(), without_ipv6: request.without_ipv6 })
}

/// Which attachment is in use, and where the guest sees its NIC: text for people.
///
/// # Errors
/// With the field and what was expected.
pub fn confirm(request: proto::ConfirmRequest) -> Result<(AttachmentId, String), Refusal> {
    let shown = request.pci_address.chars().filter(char::is_ascii_graphic).take(MAX_PCI_ADDRESS);
    Ok((attachment_id(request.attachment)?, shown.collect()))
}

/// The NICs that are in no sandbox.
///
/// # Errors
/// With the field and what was expected.
pub fn report(request: proto::ReportRequest) -> Result<Reported, Refusal> {
    let nics = |field: &str, told: &[String]| {
        if told.len() > MAX_REPORTED {
            return Err(invalid(field, "more than a VM can have"));
        }
        let parsed = told.iter().map(|text| text.parse::<Mac>());
        parsed.collect::<Result<_, _>>().map_err(|e| invalid(field, e))
    };
    Ok(Reported {
        free: nics("free_nics", &request.free_nics)?,
        spent: nics("spent_nics", &request.spent_nics)?,
    })
}

/// The network that is asked about; `None`: the VM's default.
///
/// # Errors
/// With the field and what was expected.
pub fn capacity(request: proto::CapacityRequest) -> Result<Option<NetworkName>, Refusal> {
    network(request.network)
}

/// A loopback group as an operator names it: "GROUP", if only one is called so, or "OWNER/GROUP".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupWanted {
    pub(super) owner: Option<Owner>,
    pub(super) name: GroupName,
}

impl GroupWanted {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let (owner, name) = text.split_once('/').map_or((None, text), |(owner, name)| (Some(owner), name));
        let owner = owner.map(str::parse).transpose().map_err(|e| invalid("name", e))?;
        Ok(Self { owner, name: name.parse().map_err(|e| invalid("name", e))? })
    }
}

impl fmt::Display for GroupWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "{owner}/{}", self.name),
            None => self.name.fmt(f),
        }
    }
}

/// Which loopback group.
///
/// # Errors
/// With what was expected.
pub fn group(request: &proto::ShowGroupRequest) -> Result<GroupWanted, Refusal> {
    GroupWanted::parse(&request.name)
}

fn invalid(field: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Invalid, format!("{field}: {why}"))
}

/// Which others may be asked for is the operator's to say.
fn check_mac(mac: Mac) -> Result<(), Refusal> {
    if mac.is_nic() {
        let why = format!("{mac} begins like the NICs' own addresses; choose another prefix than 4e:4c");
        return Err(invalid("mac", why));
    }
    Ok(())
}

/// Empty: the VM's default.
fn network(name: String) -> Result<Option<NetworkName>, Refusal> {
    (!name.is_empty()).then(|| NetworkName::new(name)).transpose().map_err(|e| invalid("network", e))
}

fn static_address(field: &str, text: &str) -> Result<IpAddr, Refusal> {
    text.parse().map(RequestedAddress::address).map_err(|why| invalid(field, why))
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
        namespace: text("pod.namespace", pod.namespace, MAX_POD_TEXT_BYTES)?,
        name: text("pod.name", pod.name, MAX_POD_TEXT_BYTES)?,
        uid: text("pod.uid", pod.uid, MAX_POD_TEXT_BYTES)?,
    })
}

fn text(field: &str, text: String, max_bytes: usize) -> Result<String, Refusal> {
    if text.len() > max_bytes {
        return Err(invalid(field, format!("longer than {max_bytes} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(field, "control characters"));
    }
    Ok(text)
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
    fn a_group_is_for_sixteen_at_most() {
        assert_eq!(group_size(0).unwrap(), None, "nobody has said");
        assert_eq!(group_size(3).unwrap().unwrap().get(), 3);
        let refusal = group_size(17).unwrap_err();
        assert!(refusal.message.contains("size: expected 1 to 16"), "{}", refusal.message);
    }

    #[test]
    fn a_pod_cannot_ask_for_an_address_that_may_be_someone_else_s() {
        let mac = "02:00:5e:10:00:01";
        let wish = Wish::Pod(AddressRequest { mac: Some(mac.parse().unwrap()), ..AddressRequest::default() });
        assert_eq!(with_mac(mac).unwrap().wish, wish);
        for (mac, why) in [
            ("4e:4c:00:01:00:05", "begins like the NICs' own addresses"),
            ("01:00:5e:00:00:01", "not unicast"),
        ] {
            let refusal = with_mac(mac).unwrap_err();
            assert_eq!(refusal.reason, Reason::Invalid);
            assert!(refusal.message.contains(why), "{}", refusal.message);
        }
    }
}
