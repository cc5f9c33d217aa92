//! New links, always down.

use super::{
    BridgeSettings, HardwareAddress, Link, Netlink, NetlinkError, Operation,
    error::{Cause, at},
};
use crate::netns::Namespace;
use rtnetlink::{
    LinkBridge, LinkDummy, LinkMessageBuilder, LinkUnspec,
    packet_route::link::{BridgeStpState, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage},
};
use std::os::fd::{AsFd as _, AsRawFd as _};

/// One end of a veth that is to be.
#[derive(Clone, Debug)]
pub struct VethEnd {
    /// Its name.
    pub name: String,
    /// Its address; `None` for a random one.
    pub mac: Option<HardwareAddress>,
    /// In bytes; `None` for the kernel's default.
    pub mtu_bytes: Option<u32>,
    /// Where it is born; `None` for the namespace of the [`Netlink`].
    pub namespace: Option<Namespace>,
}

impl VethEnd {
    /// An end with the kernel's choices for everything but its name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), mac: None, mtu_bytes: None, namespace: None }
    }
}

impl Netlink {
    /// Makes a bridge. With an address of its own it keeps that; otherwise it takes the lowest of its ports', and changes
    /// it as they come and go.
    ///
    /// # Errors
    /// [`NetlinkError::is_existing`] when the name is taken.
    pub async fn create_bridge(
        &self,
        name: &str,
        mac: Option<HardwareAddress>,
        settings: BridgeSettings,
    ) -> Result<Link, NetlinkError> {
        let message = with_mac(bridge(LinkMessageBuilder::<LinkBridge>::new(name), settings), mac).build();
        self.create(message, || Operation::CreateBridge { link: name.to_owned() }).await?;
        self.link(name).await
    }

    /// Makes a link that swallows whatever it is given.
    ///
    /// # Errors
    /// [`NetlinkError::is_existing`] when the name is taken.
    pub async fn create_dummy(&self, name: &str) -> Result<Link, NetlinkError> {
        let message = LinkDummy::new(name).build();
        self.create(message, || Operation::CreateDummy { link: name.to_owned() }).await?;
        self.link(name).await
    }

    /// Makes a link whose queue holds back what other links receive (the device ifb): what is sent by it is received, in time, by
    /// the link that had received it before.
    ///
    /// # Errors
    /// [`NetlinkError::is_existing`] when the name is taken; `EOPNOTSUPP` from a kernel without such links.
    pub async fn create_queue(&self, name: &str) -> Result<Link, NetlinkError> {
        let builder = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Ifb);
        let message = builder.name(name.to_owned()).build();
        self.create(message, || Operation::CreateQueue { link: name.to_owned() }).await?;
        self.link(name).await
    }

    /// Makes two links with a wire between them, each where it should be from the start.
    ///
    /// # Errors
    /// [`NetlinkError::is_existing`] when a name is taken where it is wanted; nothing is made then.
    pub async fn create_veth(&self, end: &VethEnd, peer: &VethEnd) -> Result<(), NetlinkError> {
        let peer_data =
            InfoData::Veth(InfoVeth::Peer(describe(peer, LinkMessageBuilder::<LinkUnspec>::new())));
        let builder =
            LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth).set_info_data(peer_data);
        self.create(describe(end, builder), || Operation::CreateVeth {
            link: end.name.clone(),
            peer: peer.name.clone(),
        })
        .await
    }

    /// Changes a bridge's options.
    ///
    /// # Errors
    /// When the kernel refuses: it is no bridge, for instance.
    pub async fn set_bridge(&self, link: &Link, settings: BridgeSettings) -> Result<(), NetlinkError> {
        let builder =
            LinkMessageBuilder::<LinkBridge>::new_with_info_kind(InfoKind::Bridge).index(link.index);
        let message = bridge(builder, settings).build();
        self.handle
            .link()
            .change(message)
            .execute()
            .await
            .map_err(|error| at(Operation::SetBridge { link: link.name.clone() }, error))
    }

    async fn create(
        &self,
        message: LinkMessage,
        operation: impl FnOnce() -> Operation,
    ) -> Result<(), NetlinkError> {
        self.handle.link().add(message).execute().await.map_err(|error| at(operation(), Cause::from(error)))
    }
}

fn bridge(
    builder: LinkMessageBuilder<LinkBridge>,
    settings: BridgeSettings,
) -> LinkMessageBuilder<LinkBridge> {
    let stp = if settings.stp { BridgeStpState::KernelStp } else { BridgeStpState::Disabled };
    // In this order: with STP on, the kernel refuses a delay below two seconds.
    builder
        .stp_state(stp)
        .forward_delay(settings.forward_delay_cs)
        .mcast_snooping(settings.multicast_snooping)
}

fn with_mac<T>(builder: LinkMessageBuilder<T>, mac: Option<HardwareAddress>) -> LinkMessageBuilder<T> {
    match mac {
        Some(mac) => builder.address(mac.0.to_vec()),
        None => builder,
    }
}

fn describe(end: &VethEnd, builder: LinkMessageBuilder<LinkUnspec>) -> LinkMessage {
    let mut builder = with_mac(builder.name(end.name.clone()), end.mac);
    if let Some(mtu) = end.mtu_bytes {
        builder = builder.mtu(mtu);
    }
    if let Some(namespace) = &end.namespace {
        let descriptor = namespace.as_fd().as_raw_fd();
        builder = builder.append_extra_attribute(LinkAttribute::NetNsFd(descriptor));
    }
    builder.build()
}
