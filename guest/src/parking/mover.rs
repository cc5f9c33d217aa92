//! Makes a NIC neutral and moves it to the parking namespace, from wherever it is.

use crate::identify;
use nestless_model::identity::Mac;
use nestless_support::{
    netlink::{Link, Netlink, NetlinkError},
    netns::Namespace,
};

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
    let moved = async {
        // First of all, so that the NIC is known whatever happens next.
        if link.alias.as_deref() != Some(&identify::alias(nic)) {
            from.set_alias(link, &identify::alias(nic)).await?;
        }
        from.set_down(link).await?;
        if link.mac != Some(identify::hardware(nic)) {
            from.set_mac(link, identify::hardware(nic)).await?;
        }
        let name = identify::parked_name(nic);
        from.move_to(link, parking, Some(&name)).await
    };
    moved.await.map_err(|source| MoveError { nic, source })
}
