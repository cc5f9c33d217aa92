//! Makes a NIC neutral and moves it to the parking namespace, from wherever it is.

use crate::identify;
use nestless_model::identity::Mac;
use nestless_support::{
    netlink::{Link, Netlink, NetlinkError},
    netns::Namespace,
};

/// A pod may give its NIC one name after the other while we take them away; it is not to win.
const ATTEMPTS: u32 = 3;

/// The NIC could not be parked; it may have been changed in part, and parking it may be tried again.
#[derive(Debug, thiserror::Error)]
#[error("park the NIC with MAC address {nic}")]
pub struct MoveError {
    /// Plug-time address.
    pub nic: Mac,
    /// Which step, and why.
    #[source]
    pub source: NetlinkError,
}

/// Every step may be repeated. The move itself takes addresses, routes, neighbours and queueing disciplines away
/// (`__dev_change_net_namespace` in net/core/dev.c).
pub(super) async fn park(
    from: &Netlink,
    link: &Link,
    nic: Mac,
    parking: &Namespace,
) -> Result<(), MoveError> {
    let mut moved = neutral_and_away(from, link, nic, parking).await;
    for _ in 1..ATTEMPTS {
        match &moved {
            // It has got a name that another link there has as well.
            Err(error) if error.is_existing() => {}
            _ => break,
        }
        moved = async {
            let link = from.link_by_index(link.index).await?;
            neutral_and_away(from, &link, nic, parking).await
        }
        .await;
    }
    moved.map_err(|source| MoveError { nic, source })
}

async fn neutral_and_away(
    from: &Netlink,
    link: &Link,
    nic: Mac,
    parking: &Namespace,
) -> Result<(), NetlinkError> {
    // First of all, so that the NIC is known whatever happens next.
    if link.alias.as_deref() != Some(&identify::alias(nic)) {
        from.set_alias(link, &identify::alias(nic)).await?;
    }
    from.set_down(link).await?;
    if link.mac != Some(identify::hardware(nic)) {
        from.set_mac(link, identify::hardware(nic)).await?;
    }
    // They go along, and must be unique there too.
    from.clear_alternative_names(link).await?;
    let name = identify::parked_name(nic);
    from.move_to(link, parking, Some(&name)).await
}
