//! What a bridge knows of who is behind which of its ports.

use super::{HardwareAddress, Link, Netlink, NetlinkError, Operation};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::{
    AddressFamily,
    neighbour::{NeighbourAttribute, NeighbourMessage},
};

/// A MAC address that a bridge knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// The address.
    pub mac: HardwareAddress,
    /// The number of the port behind which it is, or of the bridge.
    pub link: u32,
}

impl Netlink {
    /// All that a bridge knows: what it has learnt, what an administrator told it, and its own.
    ///
    /// # Errors
    /// When the exchange fails.
    pub async fn stations(&self, bridge: &Link) -> Result<Vec<Station>, NetlinkError> {
        let request = self.handle.neighbours().get().set_address_family(AddressFamily::Bridge);
        let listing = Operation::ListNeighbours { link: bridge.name.clone() };
        let all: Vec<NeighbourMessage> =
            self.list(listing, async move { request.execute().try_collect().await }).await?;
        Ok(all.iter().filter_map(|entry| station(entry, bridge.index)).collect())
    }
}

fn station(entry: &NeighbourMessage, bridge: u32) -> Option<Station> {
    let is_of_bridge =
        entry.header.ifindex == bridge || entry.attributes.contains(&NeighbourAttribute::Controller(bridge));
    let mac = entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    })?;
    is_of_bridge.then_some(Station { mac: HardwareAddress(mac), link: entry.header.ifindex })
}
