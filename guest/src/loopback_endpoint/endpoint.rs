//! From the parking namespace to a fraction's endpoint, and back.

use super::{
    error::{LoopbackEndpointError, Result},
    port_slice::PortSlice,
    settings, steer,
};
use crate::{
    identify::hardware,
    parking::Parking,
    pod_nic::{PodNicError, withdraw},
};
use nestless_model::identity::{ENDPOINT_INTERFACE, Mac, Mtu};
use nestless_support::{
    netlink::{Link, Netlink},
    netns::Namespace,
};

/// What an endpoint is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopbackEndpoint {
    /// Plug-time address, to find the NIC by.
    pub nic_mac: Mac,
    /// Largest packet, of the NIC and of the sandbox's `lo`.
    pub mtu: Mtu,
    /// The ephemeral ports that are this fraction's.
    pub ports: PortSlice,
}

/// Makes a waiting NIC the sandbox's endpoint.
///
/// Guarantees: on an error the NIC is back in the parking namespace, to be made anew, and the sandbox is as it was.
///
/// # Errors
/// [`LoopbackEndpointError::Exists`] and [`LoopbackEndpointError::Absent`] before anything is changed; others name
/// the step.
pub async fn join(parking: &Parking, sandbox: &Namespace, endpoint: &LoopbackEndpoint) -> Result<()> {
    let look = |source| LoopbackEndpointError::Look { source };
    let inside = Netlink::inside(sandbox).await.map_err(look)?;
    if inside.link_if_any(ENDPOINT_INTERFACE).await.map_err(look)?.is_some() {
        return Err(LoopbackEndpointError::Exists);
    }
    let taken = parking.take(endpoint.nic_mac).await;
    let taken = taken.map_err(|source| LoopbackEndpointError::Take { nic: endpoint.nic_mac, source })?;
    let taken = taken.ok_or(LoopbackEndpointError::Absent { nic: endpoint.nic_mac })?;
    let outcome = bring(parking, sandbox, &inside, &taken, endpoint).await;
    if outcome.is_err() {
        parking.give_back(endpoint.nic_mac);
        // The first failure is the one to tell. What stays goes with the sandbox.
        if let Err(error) = steer::detach(sandbox).await {
            tracing::warn!(nic = %endpoint.nic_mac, %error, "steer stays in a sandbox that is in no loopback group");
        }
        if let Err(error) = settings::restore(sandbox, &inside).await {
            tracing::warn!(nic = %endpoint.nic_mac, %error, "a sandbox keeps settings of a loopback group");
        }
        if let Err(error) = withdraw(parking, sandbox, endpoint.nic_mac).await {
            tracing::warn!(nic = %endpoint.nic_mac, %error, "a NIC stays in a sandbox it could not be configured in");
        }
    }
    outcome
}

/// Takes the endpoint away and sets back what [`join`] has changed: the sandbox is as it was. Returns whether the NIC was
/// there. May be repeated, and by another process than the one that joined.
///
/// # Errors
/// When the sandbox cannot be looked into, or the kernel does not let go of the NIC.
pub async fn leave(parking: &Parking, sandbox: &Namespace, nic: Mac) -> Result<bool> {
    steer::detach(sandbox).await?;
    let inside = Netlink::inside(sandbox).await.map_err(|source| LoopbackEndpointError::Look { source })?;
    settings::restore(sandbox, &inside).await?;
    withdraw(parking, sandbox, nic).await.map_err(|error| match error {
        PodNicError::Withdraw { nic, source } => LoopbackEndpointError::Withdraw { nic, source },
        PodNicError::Look { source } | PodNicError::Configure { source, .. } => {
            LoopbackEndpointError::Look { source }
        }
        _ => LoopbackEndpointError::Absent { nic },
    })
}

/// Whether the sandbox has an endpoint with steer on both its hooks.
///
/// # Errors
/// When the sandbox cannot be looked into.
pub async fn is_joined(sandbox: &Namespace) -> Result<bool> {
    steer::is_attached(sandbox).await
}

async fn bring(
    parking: &Parking,
    sandbox: &Namespace,
    inside: &Netlink,
    taken: &Link,
    endpoint: &LoopbackEndpoint,
) -> Result<()> {
    let failed = |source| LoopbackEndpointError::Configure { source };
    parking.netlink().move_to(taken, sandbox, Some(ENDPOINT_INTERFACE)).await.map_err(failed)?;
    let link = inside.link(ENDPOINT_INTERFACE).await.map_err(failed)?;
    if link.mac != Some(hardware(endpoint.nic_mac)) {
        inside.set_mac(&link, hardware(endpoint.nic_mac)).await.map_err(failed)?;
    }
    inside.set_mtu(&link, endpoint.mtu.bytes()).await.map_err(failed)?;
    // It has no address, and shall say nothing of its own.
    settings::quiet(sandbox).await?;
    settings::remember(sandbox, inside).await?;
    let wanted = settings::Settings::of_a_fraction(endpoint.mtu, endpoint.ports);
    settings::write(sandbox, inside, &wanted).await?;
    let lo = inside.link("lo").await.map_err(failed)?;
    if !lo.up {
        inside.set_up(&lo).await.map_err(failed)?;
    }
    inside.set_up(&link).await.map_err(failed)?;
    steer::attach(sandbox, link.index).await
}
