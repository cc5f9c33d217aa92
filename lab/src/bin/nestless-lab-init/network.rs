//! The VM's own NIC: the one that is there at boot and is no pod's.

use anyhow::{Context as _, Result, bail};
use nestless_lab::guest::GuestConfig;
use nestless_support::netlink::{Link, LinkEvent, LinkMonitor, Netlink, NetlinkError, NewAddress, Route};
use std::{path::Path, time::Duration};

const NAME: &str = "eth0";
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);

/// Sets lo and the VM's own NIC up. Without an address there is no NIC to set up.
pub(crate) async fn set_up(config: &GuestConfig) -> Result<()> {
    let netlink = Netlink::here()?;
    netlink.set_up(&netlink.link("lo").await?).await?;
    if config.addresses.is_empty() {
        return Ok(());
    }
    let nic = own_nic(config).await?;
    if nic.name != NAME {
        netlink.rename(&nic, NAME).await?;
    }
    let nic = netlink.link_by_index(nic.index).await?;
    netlink.set_up(&nic).await?;
    // A kernel that is booted with ipv6.disable=1 has none.
    let has_ipv6 = Path::new("/proc/sys/net/ipv6").exists();
    for &address in config.addresses.iter().filter(|address| has_ipv6 || address.addr().is_ipv4()) {
        accept_existing(
            netlink.add_address(&nic, NewAddress { address, no_duplicate_detection: true }).await,
        )?;
    }
    for &gateway in config.gateways.iter().filter(|gateway| has_ipv6 || gateway.is_ipv4()) {
        accept_existing(netlink.add_route(&Route::default_by(nic.index, gateway)).await)?;
    }
    Ok(())
}

/// A namespace VM keeps its NIC over a reboot, addresses and all.
fn accept_existing(outcome: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    outcome.or_else(|error| if error.is_existing() { Ok(()) } else { Err(error) })
}

/// The driver may still be probing the device.
async fn own_nic(config: &GuestConfig) -> Result<Link> {
    let is_it = |link: &Link| match config.mac {
        Some(mac) => link.mac.is_some_and(|m| m.0 == mac.bytes()),
        None => link.name == NAME,
    };
    let mut monitor = LinkMonitor::here()?;
    let wait = async {
        loop {
            if let LinkEvent::Present(link) = monitor.next().await?
                && is_it(&link)
            {
                return anyhow::Ok(link);
            }
        }
    };
    match tokio::time::timeout(PROBE_TIMEOUT, wait).await {
        Ok(link) => link.context("watch for the VM's own NIC"),
        Err(_) => bail!("the VM's own NIC ({:?}) did not appear within {PROBE_TIMEOUT:?}", config.mac),
    }
}
