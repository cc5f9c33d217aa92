//! What a NIC in a sandbox looks like now.

use super::{PodNicError, PodRoute};
use crate::identify;
use ipnet::IpNet;
use nestless_model::identity::Mac;
use nestless_support::{
    netlink::{Link, Netlink},
    netns::Namespace,
};

/// A NIC in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its link.
    pub link: Link,
    /// Its addresses, the link-local one included.
    pub addresses: Vec<IpNet>,
    /// The sandbox's routes, whatever link they lead through: chained plugins may have moved them.
    pub routes: Vec<PodRoute>,
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
    let routes = inside.routes().await.map_err(look)?;
    Ok(Some(Observed {
        link,
        addresses: addresses.into_iter().map(|address| address.address).collect(),
        routes: routes
            .into_iter()
            .map(|r| PodRoute { destination: r.destination, gateway: r.gateway })
            .collect(),
    }))
}
