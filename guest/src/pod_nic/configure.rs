//! From the parking namespace to a working pod interface, and back.

use super::{
    device::{Device, device},
    error::PodNicError,
    nic::{PodNic, SandboxRoute},
    routing,
};
use crate::{
    announce,
    identify::{self, hardware},
    parking::Parking,
};
use nestless_model::identity::Mac;
use nestless_support::{
    netlink::{AddressGeneration, Link, LinkEvent, LinkMonitor, Netlink, NetlinkError, NewAddress},
    netns::Namespace,
    sysctl,
};
use std::time::Duration;

/// A virtio NIC tells its carrier a moment after it is set up. Without one it is still configured.
const CARRIER_DEADLINE: Duration = Duration::from_secs(3);

/// What [`configure`] found out about the NIC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// Its PCI address and its driver.
    pub device: Device,
    /// Its routes: in the main table, and for a NIC that is not the sandbox's only one also in a table of its own.
    pub routes: Vec<SandboxRoute>,
}

/// Moves a waiting NIC into `sandbox` and makes it what `nic` says.
///
/// Guarantees: on success packets can flow and the neighbours were told; on an error the NIC is back in the parking
/// namespace, to be made anew, and the sandbox is as it was.
///
/// # Errors
/// [`PodNicError::InterfaceExists`] and [`PodNicError::Absent`] before anything is changed; others name the step.
pub async fn configure(
    parking: &Parking,
    sandbox: &Namespace,
    nic: &PodNic,
) -> Result<Configured, PodNicError> {
    let look = |source| PodNicError::Look { source };
    let inside = Netlink::inside(sandbox).await.map_err(look)?;
    let there = inside.links().await.map_err(look)?;
    if there.iter().any(|link| link.name == nic.interface.as_str()) {
        return Err(PodNicError::InterfaceExists { interface: nic.interface.clone() });
    }
    let taken = parking.take(nic.nic_mac).await;
    let taken = taken.map_err(|source| PodNicError::Take { nic: nic.nic_mac, source })?;
    let taken = taken.ok_or(PodNicError::Absent { nic: nic.nic_mac })?;

    let alone = there.iter().all(|link| link.loopback);
    let target = Target { sandbox, inside: &inside, alone };
    let outcome = bring(parking, &target, &taken, nic).await;
    if outcome.is_err() {
        parking.give_back(nic.nic_mac);
    }
    if outcome.is_err()
        && let Err(error) = withdraw(parking, sandbox, nic.nic_mac).await
    {
        // The first failure is the one to tell. The NIC comes back by itself when the sandbox goes.
        tracing::warn!(nic = %nic.nic_mac, %error, "a NIC stays in a sandbox it could not be configured in");
    }
    outcome
}

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

/// Where a NIC goes.
struct Target<'a> {
    sandbox: &'a Namespace,
    inside: &'a Netlink,
    /// No link but loopback was there before.
    alone: bool,
}

async fn bring(
    parking: &Parking,
    target: &Target<'_>,
    taken: &Link,
    nic: &PodNic,
) -> Result<Configured, PodNicError> {
    let Target { sandbox, inside, alone } = *target;
    let failed = |source| PodNicError::Configure { interface: nic.interface.clone(), source };
    let name = nic.interface.as_str();
    parking.netlink().move_to(taken, sandbox, Some(name)).await.map_err(failed)?;
    let link = inside.link(name).await.map_err(failed)?;
    if link.mac != Some(hardware(nic.pod_mac)) {
        inside.set_mac(&link, hardware(nic.pod_mac)).await.map_err(failed)?;
    }
    inside.set_mtu(&link, nic.mtu.bytes()).await.map_err(failed)?;
    prepare_ipv6(sandbox, inside, &link, nic).await?;
    // Watched before it is set up, or a carrier that comes at once would be missed.
    let carrier = LinkMonitor::inside(sandbox).await.map_err(failed)?;
    inside.set_up(&link).await.map_err(failed)?;
    for address in &nic.addresses {
        let new = NewAddress { address: *address, no_duplicate_detection: true };
        inside.add_address(&link, new).await.map_err(failed)?;
    }
    let main = if alone { Vec::new() } else { inside.routes().await.map_err(failed)? };
    let routing = routing::plan(link.index, nic, &main);
    routing.apply(inside).await.map_err(failed)?;
    wait_for_carrier(carrier, &link, nic).await.map_err(failed)?;
    announce::announce(sandbox, link.index, nic.pod_mac, &nic.addresses).await;
    let told = routing.routes.iter().filter(|route| !routing::is_link_local(&route.destination));
    Ok(Configured {
        device: device(sandbox, &nic.interface).await,
        routes: told.map(SandboxRoute::from).collect(),
    })
}

/// The host gives addresses out and its guard vouches for them: nothing is to be asked of, or learnt from, the link.
async fn prepare_ipv6(
    sandbox: &Namespace,
    inside: &Netlink,
    link: &Link,
    nic: &PodNic,
) -> Result<(), PodNicError> {
    if link.address_generation.is_none() {
        return Ok(());
    }
    let wanted = nic.addresses.iter().any(|address| address.addr().is_ipv6());
    let directory = format!("net/ipv6/conf/{}", nic.interface);
    let mut settings = vec![("accept_ra", "0"), ("autoconf", "0"), ("accept_dad", "0")];
    if wanted {
        // Container runtimes switch IPv6 off in new sandboxes.
        settings.push(("disable_ipv6", "0"));
    }
    for (key, value) in settings {
        sysctl::write_inside(sandbox, &format!("{directory}/{key}"), value)
            .await
            .map_err(|source| PodNicError::Setting { interface: nic.interface.clone(), source })?;
    }
    // The guard lets out the link-local address derived from the MAC address, and no other.
    let eui64 = AddressGeneration::Eui64;
    if link.address_generation != Some(eui64) {
        let failed = |source| PodNicError::Configure { interface: nic.interface.clone(), source };
        inside.set_address_generation(link, eui64).await.map_err(failed)?;
    }
    Ok(())
}

async fn wait_for_carrier(mut monitor: LinkMonitor, link: &Link, nic: &PodNic) -> Result<(), NetlinkError> {
    let seen = async {
        loop {
            match monitor.next().await? {
                LinkEvent::Present(now) if now.index == link.index && now.up && now.carrier => return Ok(()),
                _ => {}
            }
        }
    };
    tokio::time::timeout(CARRIER_DEADLINE, seen).await.unwrap_or_else(|_| {
        tracing::warn!(nic = %nic.nic_mac, interface = %nic.interface, "the NIC has no carrier: is its TAP up on the host?");
        Ok(())
    })
}
