//! What a NIC in a sandbox looks like now.

use super::{error::PodNicError, nic::SandboxRoute, routing};
use crate::identify;
use ipnet::IpNet;
use nestless_model::identity::Mac;
use nestless_support::{
    netlink::{Link, Netlink},
    netns::Namespace,
};
use std::net::IpAddr;

/// A NIC in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its link.
    pub link: Link,
    /// Its addresses, the link-local one included.
    pub addresses: Vec<IpNet>,
    /// The sandbox's routes in the main table, whatever link they lead through, since chained plugins may have moved them;
    /// and those in the NIC's own table.
    pub routes: Vec<SandboxRoute>,
    /// The number of that table. A NIC that came first has nothing in it.
    pub own_table: u32,
    /// The addresses that rules send there.
    pub ruled: Vec<IpAddr>,
}

/// Finds a NIC in `sandbox`; `None` when it is not there.
///
/// # Errors
/// When the sandbox cannot be looked into.
pub async fn inspect(sandbox: &Namespace, nic: Mac) -> Result<Option<Observed>, PodNicError> {
    let look = |source| PodNicError::Look { source };
    let inside = Netlink::inside(sandbox).await.map_err(look)?;
    let Some(link) = identify::find(inside.links().await.map_err(look)?, nic) else { return Ok(None) };
    let addresses = inside.addresses_of(&link).await.map_err(look)?;
    let routes = inside.all_routes().await.map_err(look)?;
    let own_table = routing::own_table(link.index);
    let concerns = |table: Option<u32>| table.is_none_or(|table| table == own_table);
    Ok(Some(Observed {
        addresses: addresses.into_iter().map(|address| address.address).collect(),
        routes: routes.iter().filter(|route| concerns(route.table)).map(SandboxRoute::from).collect(),
        own_table,
        ruled: routing::ruled(&inside, link.index).await.map_err(look)?,
        link,
    }))
}
