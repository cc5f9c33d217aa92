//! Changes of a link that exists.

use super::{
    AddressGeneration, HardwareAddress, Link, Netlink, NetlinkError, Operation,
    error::{Cause, at},
};
use crate::netns::Namespace;
use rtnetlink::{
    LinkMessageBuilder, LinkUnspec,
    packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute},
};
use std::os::fd::{AsFd as _, AsRawFd as _};

type Change = LinkMessageBuilder<LinkUnspec>;

impl Netlink {
    /// Sets it up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn set_up(&self, link: &Link) -> Result<(), NetlinkError> {
        self.change(link, Change::up, |link| Operation::SetUp { link }).await
    }

    /// Sets it down, which also takes its IPv6 addresses and all its routes away.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn set_down(&self, link: &Link) -> Result<(), NetlinkError> {
        self.change(link, Change::down, |link| Operation::SetDown { link }).await
    }

    /// Renames it. Kernels before 6.2 do this only to a link that is down.
    ///
    /// # Errors
    /// [`NetlinkError::is_existing`] when the name is taken.
    pub async fn rename(&self, link: &Link, name: &str) -> Result<(), NetlinkError> {
        let operation = |link| Operation::Rename { link, name: name.to_owned() };
        self.change(link, |change| change.name(name), operation).await
    }

    /// Gives it another Ethernet address.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn set_mac(&self, link: &Link, mac: HardwareAddress) -> Result<(), NetlinkError> {
        let operation = |link| Operation::SetMac { link, mac };
        self.change(link, |change| change.address(mac.0.to_vec()), operation).await
    }

    /// Sets the largest packet it carries, in bytes without the Ethernet header.
    ///
    /// # Errors
    /// When the kernel refuses: the driver has a limit.
    pub async fn set_mtu(&self, link: &Link, mtu_bytes: u32) -> Result<(), NetlinkError> {
        let operation = |link| Operation::SetMtu { link, mtu_bytes };
        self.change(link, |change| change.mtu(mtu_bytes), operation).await
    }

    /// Makes it a port of a bridge.
    ///
    /// # Errors
    /// When the kernel refuses: `master` is no bridge, or the link cannot be a port.
    pub async fn set_master(&self, link: &Link, master: &Link) -> Result<(), NetlinkError> {
        let operation = |link| Operation::SetMaster { link, master: master.name.clone() };
        self.change(link, |change| change.controller(master.index), operation).await
    }

    /// Takes it out of its bridge.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn clear_master(&self, link: &Link) -> Result<(), NetlinkError> {
        self.change(link, Change::nocontroller, |link| Operation::ClearMaster { link }).await
    }

    /// Gives it a text that people read.
    ///
    /// # Errors
    /// When it is longer than 255 bytes.
    pub async fn set_alias(&self, link: &Link, alias: &str) -> Result<(), NetlinkError> {
        let operation = |link| Operation::SetAlias { link, alias: alias.to_owned() };
        self.change(link, |change| change.alias(alias), operation).await
    }

    /// Takes its alternative names away, all that it had when it was looked up. Succeeds when it has none of them any more.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn clear_alternative_names(&self, link: &Link) -> Result<(), NetlinkError> {
        // One by one: the kernel stops at the first that is gone.
        for name in &link.alternative_names {
            let request = self.handle.link().property_del(link.index).alt_ifname(&[name]);
            let failed = |error| {
                let operation =
                    Operation::DeleteAlternativeName { link: link.name.clone(), name: name.clone() };
                at(operation, Cause::from(error))
            };
            match request.execute().await.map_err(failed) {
                Err(error) if !error.is_missing() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Says how it makes its IPv6 link-local address; counts from the next time it is set up.
    ///
    /// # Errors
    /// When the kernel refuses: it has no IPv6 at all, or the MTU is too small for it.
    pub async fn set_address_generation(
        &self,
        link: &Link,
        mode: AddressGeneration,
    ) -> Result<(), NetlinkError> {
        let kernel = match mode {
            AddressGeneration::Eui64 => In6AddrGenMode::Eui64,
            AddressGeneration::None => In6AddrGenMode::None,
            AddressGeneration::Private => In6AddrGenMode::StablePrivacy,
        };
        let attribute =
            LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(kernel)])]);
        let operation = |link| Operation::SetAddressGeneration { link, mode };
        self.change(link, |change| change.append_extra_attribute(attribute), operation).await
    }

    /// Moves it to another namespace and, where `name` is given, renames it on the way. It arrives down, without
    /// addresses and master, and may have another number there.
    ///
    /// # Errors
    /// [`NetlinkError::is_existing`] when its name, or the new one, is taken there. In the second case the kernel may
    /// have moved the link before it found out: look for it in both places.
    pub async fn move_to(
        &self,
        link: &Link,
        namespace: &Namespace,
        name: Option<&str>,
    ) -> Result<(), NetlinkError> {
        let descriptor = namespace.as_fd().as_raw_fd();
        let build = |change: Change| {
            let change = change.setns_by_fd(descriptor);
            if let Some(name) = name { change.name(name) } else { change }
        };
        self.change(link, build, |link| Operation::Move { link, namespace: namespace.to_string() }).await
    }

    /// Deletes it; of a veth, both ends.
    ///
    /// # Errors
    /// [`NetlinkError::is_missing`] when it is gone already; others when the kernel refuses (a physical NIC).
    pub async fn delete(&self, link: &Link) -> Result<(), NetlinkError> {
        self.handle
            .link()
            .del(link.index)
            .execute()
            .await
            .map_err(|error| at(Operation::DeleteLink { link: link.name.clone() }, error))
    }

    /// Deletes the link of that name; succeeds when there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn delete_if_any(&self, name: &str) -> Result<(), NetlinkError> {
        let Some(link) = self.link_if_any(name).await? else { return Ok(()) };
        match self.delete(&link).await {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    async fn change(
        &self,
        link: &Link,
        build: impl FnOnce(Change) -> Change,
        operation: impl FnOnce(String) -> Operation,
    ) -> Result<(), NetlinkError> {
        let message = build(LinkUnspec::new_with_index(link.index)).build();
        self.handle
            .link()
            .change(message)
            .execute()
            .await
            .map_err(|error| at(operation(link.name.clone()), Cause::from(error)))
    }
}
