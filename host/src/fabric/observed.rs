//! The host's network as the kernel shows it.

use super::{error::FabricError, nft};
use nestless_model::identity::{LinkName, NicId};
use nestless_support::{
    netlink::{Address, Link, Netlink, Route},
    sysctl,
};
use std::collections::BTreeMap;

pub(super) const IPV4_FORWARDING: &str = "net/ipv4/ip_forward";
pub(super) const IPV6_FORWARDING: &str = "net/ipv6/conf/all/forwarding";

/// All that a plan depends on, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// All links.
    pub links: Vec<Link>,
    /// All their addresses.
    pub addresses: Vec<Address>,
    /// The settings that matter, those that exist, by their path below `/proc/sys`.
    pub sysctls: BTreeMap<String, String>,
    /// The routes of the main table, where a plan asks for them.
    pub routes: Vec<Route>,
    /// The comments of the rules in our table, in order; `None` when there is no such table.
    pub rules: Option<Vec<String>>,
}

impl Observed {
    /// Looks.
    ///
    /// # Errors
    /// When netlink or `nft` fails.
    pub(super) async fn look(netlink: &Netlink, table: &str) -> Result<Self, FabricError> {
        let observe = |source| FabricError::Observe { source };
        let links = netlink.links().await.map_err(observe)?;
        let addresses = netlink.addresses().await.map_err(observe)?;
        let mut keys = vec![IPV4_FORWARDING.to_owned(), IPV6_FORWARDING.to_owned()];
        // NICs' host ends are many, and no setting of theirs matters here.
        let few = |link: &&Link| !link.loopback && NicId::from_link_name(&link.name).is_none();
        for link in links.iter().filter(few) {
            keys.push(format!("net/ipv6/conf/{}/accept_ra", link.name));
            if link.bridge.is_some() {
                keys.push(format!("net/ipv4/conf/{}/arp_ignore", link.name));
                keys.push(format!("net/ipv6/conf/{}/disable_ipv6", link.name));
            }
        }
        // What cannot be read is not there: IPv6 is off, or the link went meanwhile.
        let sysctls =
            keys.into_iter().filter_map(|key| sysctl::read(&key).ok().map(|value| (key, value))).collect();
        let mut observed =
            Self { links, addresses, sysctls, routes: Vec::new(), rules: nft::list(table).await? };
        if observed.sysctl(IPV6_FORWARDING) == Some("0") {
            // Whether the host may forward depends on them.
            observed.routes = netlink.routes().await.map_err(observe)?;
        }
        Ok(observed)
    }

    /// Looks at what others have on this host, and at nothing else.
    pub(super) async fn look_at_others(netlink: &Netlink) -> Result<Self, FabricError> {
        let observe = |source| FabricError::Observe { source };
        Ok(Self {
            links: netlink.links().await.map_err(observe)?,
            addresses: netlink.addresses().await.map_err(observe)?,
            routes: netlink.routes().await.map_err(observe)?,
            ..Self::default()
        })
    }

    /// The link of that name.
    pub(super) fn link(&self, name: &LinkName) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name.as_str())
    }

    /// The name of the link with that number, or the number.
    pub(super) fn name_of(&self, index: u32) -> String {
        let link = self.links.iter().find(|link| link.index == index);
        link.map_or_else(|| format!("link number {index}"), |link| link.name.clone())
    }

    /// The addresses of a link.
    pub(super) fn addresses_of<'a>(&'a self, link: &Link) -> impl Iterator<Item = &'a Address> {
        let index = link.index;
        self.addresses.iter().filter(move |address| address.link == index)
    }

    /// A setting, if it exists.
    pub(super) fn sysctl(&self, key: &str) -> Option<&str> {
        self.sysctls.get(key).map(String::as_str)
    }
}
