//! Back to the parking namespace.

use super::{PodNicError, routing};
use crate::{identify, parking::Parking};
use nestless_model::identity::Mac;
use nestless_support::{netlink::Netlink, netns::Namespace};

/// Takes a NIC out of `sandbox`, whatever the pod has done to it: renamed, given another MAC address, addresses, routes.
/// Returns whether it was there. May be repeated.
///
/// # Errors
/// When the sandbox cannot be looked into, or the kernel does not let go of the NIC or its rules.
pub async fn withdraw(parking: &Parking, sandbox: &Namespace, nic: Mac) -> Result<bool, PodNicError> {
    let look = |source| PodNicError::Look { source };
    let inside = Netlink::inside(sandbox).await.map_err(look)?;
    let Some(link) = identify::find(inside.links().await.map_err(look)?, nic) else { return Ok(false) };
    routing::forget(&inside, link.index).await.map_err(|source| PodNicError::Rules { nic, source })?;
    match parking.take_back(&inside, &link, nic).await {
        Ok(()) => Ok(true),
        Err(error) if error.source.is_missing() => Ok(false),
        Err(source) => Err(PodNicError::Withdraw { nic, source }),
    }
}
