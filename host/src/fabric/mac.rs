//! Whether a MAC address is somebody's already.

use super::{Fabric, FabricError};
use nestless_model::{
    identity::{Mac, NicId},
    network::Network,
};
use nestless_support::netlink::{HardwareAddress, Link, Station};

impl Fabric {
    /// Where the host or the network's bridge knows an address: a link of the host's, or a station that the bridge has learnt.
    /// What it has learnt behind NICs of ours does not count: there the guard lets out nothing but what was given, and what an
    /// earlier pod left may be given again.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub async fn mac_elsewhere(&self, network: &Network, mac: Mac) -> Result<Option<String>, FabricError> {
        let observe = |source| FabricError::Observe { source };
        let links = self.netlink.links().await.map_err(observe)?;
        let bridge = links.iter().find(|link| link.name == network.bridge.as_str());
        let stations = match bridge {
            Some(bridge) => self.netlink.stations(bridge).await.map_err(observe)?,
            None => Vec::new(),
        };
        Ok(holder(HardwareAddress(mac.bytes()), &links, &stations))
    }
}

fn holder(mac: HardwareAddress, links: &[Link], stations: &[Station]) -> Option<String> {
    let is_nic = |link: &&Link| NicId::from_link_name(&link.name).is_some();
    if let Some(own) = links.iter().find(|link| link.mac == Some(mac) || link.permanent_mac == Some(mac)) {
        return Some(format!("it is that of the host's link {}", own.name));
    }
    let learnt = stations.iter().filter(|station| station.mac == mac);
    let places = learnt.map(|station| links.iter().find(|link| link.index == station.link));
    let place = places.into_iter().find(|place| !place.as_ref().is_some_and(is_nic))?;
    Some(match place {
        Some(link) => format!("the bridge knows it behind {}", link.name),
        None => "the bridge knows it".to_owned(),
    })
}
