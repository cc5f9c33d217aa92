//! Addresses of links.

use super::{
    Link, Netlink, NetlinkError, Operation,
    error::{Cause, at},
};
use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use std::net::IpAddr;

/// An address of a link, with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link's number.
    pub link: u32,
    /// Address and prefix length.
    pub address: IpNet,
    /// Valid on the link only: fe80::/10, 169.254.0.0/16.
    pub link_local: bool,
    /// Duplicate address detection is still under way.
    pub tentative: bool,
    /// Duplicate address detection found another owner.
    pub duplicate: bool,
}

/// An address to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAddress {
    /// Address and prefix length.
    pub address: IpNet,
    /// Usable at once, without asking the link whether someone else has it (IPv6). Right where addresses are given out
    /// centrally, and where no link is up that could be asked.
    pub no_duplicate_detection: bool,
}

impl Netlink {
    /// All addresses of the namespace.
    ///
    /// # Errors
    /// When the exchange fails.
    pub async fn addresses(&self) -> Result<Vec<Address>, NetlinkError> {
        self.list_addresses(|_| true).await
    }

    /// The addresses of one link.
    ///
    /// # Errors
    /// When the exchange fails.
    pub async fn addresses_of(&self, link: &Link) -> Result<Vec<Address>, NetlinkError> {
        let index = link.index;
        self.list_addresses(move |address| address.link == index).await
    }

    async fn list_addresses(&self, wanted: impl Fn(&Address) -> bool) -> Result<Vec<Address>, NetlinkError> {
        let request = self.handle.address().get();
        let messages: Vec<AddressMessage> =
            self.list(Operation::ListAddresses, async move { request.execute().try_collect().await }).await?;
        Ok(messages.iter().filter_map(read).filter(wanted).collect())
    }

    /// Adds an address.
    ///
    /// # Errors
    /// [`NetlinkError::is_existing`] when the link has it.
    pub async fn add_address(&self, link: &Link, new: NewAddress) -> Result<(), NetlinkError> {
        let address = new.address;
        let mut request = self.handle.address().add(link.index, address.addr(), address.prefix_len());
        if new.no_duplicate_detection && address.addr().is_ipv6() {
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        request
            .execute()
            .await
            .map_err(|error| at(Operation::AddAddress { link: link.name.clone(), address }, error))
    }

    /// Deletes an address.
    ///
    /// # Errors
    /// [`NetlinkError::is_missing`] when the link has no such address.
    pub async fn delete_address(&self, link: &Link, address: IpNet) -> Result<(), NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = super::route::family(address.addr());
        message.header.index = link.index;
        message.header.prefix_len = address.prefix_len();
        message.attributes.push(AddressAttribute::Local(address.addr()));
        self.handle.address().del(message).execute().await.map_err(|error| {
            at(Operation::DeleteAddress { link: link.name.clone(), address }, Cause::from(error))
        })
    }

    /// Deletes all addresses of a link, the IPv6 link-local one included.
    ///
    /// # Errors
    /// When the kernel refuses; addresses that vanish meanwhile are no error.
    pub async fn flush_addresses(&self, link: &Link) -> Result<(), NetlinkError> {
        for address in self.addresses_of(link).await? {
            match self.delete_address(link, address.address).await {
                Err(error) if !error.is_missing() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn read(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut other, mut flags) = (None, None, AddressFlags::empty());
    for attribute in &message.attributes {
        match attribute {
            // Of a point-to-point link, IFA_ADDRESS is the peer's; IFA_LOCAL is always ours, but IPv6 may leave it out.
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => other = Some(*address),
            AddressAttribute::Flags(found) => flags = *found,
            _ => {}
        }
    }
    let address: IpAddr = local.or(other)?;
    Some(Address {
        link: message.header.index,
        address: IpNet::new(address, message.header.prefix_len).ok()?,
        link_local: message.header.scope == AddressScope::Link,
        tentative: flags.contains(AddressFlags::Tentative),
        duplicate: flags.contains(AddressFlags::Dadfailed),
    })
}
