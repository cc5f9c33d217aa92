//! Links as the kernel shows them.

use super::{
    AddressGeneration, HardwareAddress, Netlink, NetlinkError, Operation,
    error::{Cause, at},
};
use crate::bus_device::BusDevice;
use futures_util::StreamExt as _;
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        link::{
            AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, InfoBridge, InfoData, LinkAttribute,
            LinkFlags, LinkInfo, LinkMessage, Prop, State,
        },
    },
};

/// NLM_F_DUMP_INTR of include/uapi/linux/netlink.h: the listing was overtaken by a change.
const DUMP_INTERRUPTED: u16 = 0x10;

/// A link at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number, which it keeps within its namespace.
    pub index: u32,
    /// Its name, which may change.
    pub name: String,
    /// What drives it: "bridge", "veth", "tun"; `None` for a physical or virtio NIC.
    pub kind: Option<String>,
    /// Its Ethernet address, if it has one.
    pub mac: Option<HardwareAddress>,
    /// The address it was born with, if its driver has one. A guest's root can change [`Link::mac`], not this.
    pub permanent_mac: Option<HardwareAddress>,
    /// In bytes, without the Ethernet header.
    pub mtu_bytes: u32,
    /// Set up by an administrator.
    pub up: bool,
    /// It has a carrier.
    pub carrier: bool,
    /// Whether traffic flows (RFC 2863).
    pub oper_state: OperState,
    /// The bridge or bond that it is a port of.
    pub master: Option<u32>,
    /// The other end of a veth, or the link below. The number may be one of another namespace.
    pub lower: Option<u32>,
    /// The number that this namespace knows the one of [`Link::lower`] by; `None`: the same namespace.
    pub lower_namespace: Option<i32>,
    /// Free text.
    pub alias: Option<String>,
    /// Further names, as unique in a namespace as the name.
    pub alternative_names: Vec<String>,
    /// What it is the network side of (Linux 5.14 and later tell); `None` for one that software made.
    pub device: Option<BusDevice>,
    /// How it makes its IPv6 link-local address; `None` where IPv6 is not to be had.
    pub address_generation: Option<AddressGeneration>,
    /// Only of a bridge.
    pub bridge: Option<BridgeSettings>,
    /// The loopback link.
    pub loopback: bool,
}

/// What we care about in a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeSettings {
    /// The spanning tree protocol runs.
    pub stp: bool,
    /// How long a new port listens before it forwards, in hundredths of a second.
    pub forward_delay_cs: u32,
    /// Multicast goes only where somebody asked for it, which neighbour discovery then depends on.
    pub multicast_snooping: bool,
}

/// Whether traffic flows (RFC 2863, ifOperStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperState {
    /// The driver does not say: loopback, TAP without a reader.
    Unknown,
    /// Traffic flows.
    Up,
    /// It does not.
    Down,
    /// The link below, or the other end, is down.
    LowerLayerDown,
    /// Anything else: dormant, testing, not present.
    Other,
}

impl Netlink {
    /// All links of the namespace, consistently: a listing overtaken by a change is asked for again.
    ///
    /// # Errors
    /// When the exchange fails.
    pub async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let handle = self.handle.clone();
        self.list(Operation::ListLinks, list(handle)).await
    }

    /// The link of that name.
    ///
    /// # Errors
    /// [`NetlinkError::is_missing`] when there is none.
    pub async fn link(&self, name: &str) -> Result<Link, NetlinkError> {
        self.find(name.to_owned(), self.handle.link().get().match_name(name)).await
    }

    /// The link of that number.
    ///
    /// # Errors
    /// [`NetlinkError::is_missing`] when there is none.
    pub async fn link_by_index(&self, index: u32) -> Result<Link, NetlinkError> {
        self.find(format!("number {index}"), self.handle.link().get().match_index(index)).await
    }

    /// The link that was born with this address; where none was (the drivers of veth and TAP tell no such address), the
    /// one that has it now. Links that take their address from another (bridges, bonds, VLANs) never count.
    ///
    /// # Errors
    /// [`NetlinkError::is_missing`] when there is none.
    pub async fn link_by_mac(&self, mac: HardwareAddress) -> Result<Link, NetlinkError> {
        let links = self.links().await?;
        let born = links.iter().find(|link| link.permanent_mac == Some(mac));
        let has = || {
            links
                .iter()
                .find(|link| link.permanent_mac.is_none() && link.mac == Some(mac) && !borrows_its_mac(link))
        };
        born.or_else(has).cloned().ok_or_else(|| {
            at(Operation::FindLink { link: format!("with MAC address {mac}") }, Cause::NoSuchLink)
        })
    }

    /// [`Netlink::link`], with `None` for a link that does not exist.
    ///
    /// # Errors
    /// When the exchange fails.
    pub async fn link_if_any(&self, name: &str) -> Result<Option<Link>, NetlinkError> {
        match self.link(name).await {
            Ok(link) => Ok(Some(link)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a veth's other end is in a namespace that nothing holds any more. Both ends are about to vanish then, but the
    /// kernel takes its time.
    ///
    /// # Errors
    /// When the exchange fails.
    pub async fn is_dying(&self, link: &Link) -> Result<bool, NetlinkError> {
        let (Some(namespace), Some(lower)) = (link.lower_namespace, link.lower) else { return Ok(false) };
        // No number is given to a dying namespace (`peernet2id_alloc` in net/core/net_namespace.c).
        if namespace < 0 {
            return Ok(true);
        }
        let mut request = self.handle.link().get().match_index(lower);
        request.message_mut().attributes.push(LinkAttribute::IfNetnsId(namespace));
        match self.find(format!("number {lower} of namespace {namespace}"), request).await {
            // It has a number still, but cannot be looked into (`rtnl_get_net_ns_capable` in net/core/rtnetlink.c).
            Err(error) if error.errno() == Some(libc::EINVAL) => Ok(true),
            // The other end has moved on.
            Err(error) if error.is_missing() => Ok(false),
            outcome => outcome.map(|_| false),
        }
    }

    async fn find(&self, what: String, request: rtnetlink::LinkGetRequest) -> Result<Link, NetlinkError> {
        let mut answers = std::pin::pin!(request.execute());
        match answers.next().await {
            Some(Ok(message)) => Ok(Link::from_message(&message)),
            Some(Err(error)) => Err(at(Operation::FindLink { link: what }, error)),
            None => Err(at(Operation::FindLink { link: what }, Cause::NoSuchLink)),
        }
    }
}

async fn list(handle: Handle) -> Result<Vec<Link>, rtnetlink::Error> {
    loop {
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default()));
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut answers = handle.clone().request(request)?;
        let mut links = Vec::new();
        let mut interrupted = false;
        while let Some(answer) = answers.next().await {
            interrupted |= answer.header.flags & DUMP_INTERRUPTED != 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
                    links.push(Link::from_message(&message));
                }
                NetlinkPayload::Error(error) => return Err(rtnetlink::Error::NetlinkError(error)),
                _ => {}
            }
        }
        if !interrupted {
            return Ok(links);
        }
    }
}

impl Link {
    pub(super) fn from_message(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            kind: None,
            mac: None,
            permanent_mac: None,
            mtu_bytes: 0,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            oper_state: OperState::Unknown,
            master: None,
            lower: None,
            lower_namespace: None,
            alias: None,
            alternative_names: Vec::new(),
            device: None,
            address_generation: None,
            bridge: None,
            loopback: flags.contains(LinkFlags::Loopback),
        };
        for attribute in &message.attributes {
            link.read(attribute);
        }
        link.device = bus_device(message);
        link
    }

    fn read(&mut self, attribute: &LinkAttribute) {
        match attribute {
            LinkAttribute::IfName(name) => self.name.clone_from(name),
            LinkAttribute::Address(bytes) => self.mac = ethernet(bytes),
            LinkAttribute::PermAddress(bytes) => self.permanent_mac = ethernet(bytes),
            LinkAttribute::Mtu(mtu) => self.mtu_bytes = *mtu,
            LinkAttribute::OperState(state) => self.oper_state = oper_state(*state),
            // Zero is how a notification says "none any more".
            LinkAttribute::Controller(index) => self.master = (*index != 0).then_some(*index),
            LinkAttribute::Link(index) => self.lower = (*index != 0).then_some(*index),
            LinkAttribute::LinkNetNsId(number) => self.lower_namespace = Some(*number),
            LinkAttribute::IfAlias(alias) => self.alias = (!alias.is_empty()).then(|| alias.clone()),
            LinkAttribute::PropList(list) => {
                self.alternative_names = list.iter().filter_map(alternative_name).collect();
            }
            LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|info| self.read_info(info)),
            LinkAttribute::AfSpecUnspec(families) => {
                self.address_generation = families.iter().find_map(address_generation);
            }
            _ => {}
        }
    }

    fn read_info(&mut self, info: &LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Bridge(options)) => {
                let mut bridge =
                    BridgeSettings { stp: false, forward_delay_cs: 0, multicast_snooping: false };
                for option in options {
                    match option {
                        InfoBridge::StpState(state) => bridge.stp = *state != BridgeStpState::Disabled,
                        InfoBridge::ForwardDelay(delay) => bridge.forward_delay_cs = *delay,
                        InfoBridge::MulticastSnooping(on) => bridge.multicast_snooping = *on,
                        _ => {}
                    }
                }
                self.bridge = Some(bridge);
            }
            _ => {}
        }
    }
}

fn alternative_name(property: &Prop) -> Option<String> {
    match property {
        Prop::AltIfName(name) => Some(name.clone()),
        _ => None,
    }
}

fn bus_device(message: &LinkMessage) -> Option<BusDevice> {
    let bus = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::ParentDevBusName(bus) => Some(bus),
        _ => None,
    });
    let name = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::ParentDevName(name) => Some(name),
        _ => None,
    });
    Some(BusDevice { bus: bus?.clone(), name: name?.clone() })
}

fn borrows_its_mac(link: &Link) -> bool {
    matches!(
        link.kind.as_deref(),
        Some("bridge" | "bond" | "team" | "vlan" | "macvlan" | "macvtap" | "ipvlan")
    )
}

fn ethernet(bytes: &[u8]) -> Option<HardwareAddress> {
    bytes.try_into().ok().map(HardwareAddress)
}

fn oper_state(state: State) -> OperState {
    match state {
        State::Unknown => OperState::Unknown,
        State::Up => OperState::Up,
        State::Down => OperState::Down,
        State::LowerLayerDown => OperState::LowerLayerDown,
        _ => OperState::Other,
    }
}

fn address_generation(family: &AfSpecUnspec) -> Option<AddressGeneration> {
    let AfSpecUnspec::Inet6(attributes) = family else { return None };
    attributes.iter().find_map(|attribute| match attribute {
        AfSpecInet6::AddrGenMode(In6AddrGenMode::Eui64) => Some(AddressGeneration::Eui64),
        AfSpecInet6::AddrGenMode(In6AddrGenMode::None) => Some(AddressGeneration::None),
        AfSpecInet6::AddrGenMode(_) => Some(AddressGeneration::Private),
        _ => None,
    })
}
