//! NICs' host ends: into a network's bridge, out of any.

use super::{Fabric, FabricError};
use nestless_model::{
    identity::{LinkName, Mtu},
    network::Network,
};
use nestless_support::{
    crash_point,
    netlink::{Link, NetlinkError},
    sysctl,
};

impl Fabric {
    /// Makes a NIC's host end a port of the network's bridge, and sets it up: MTU, `alias` (which people read, at most 255
    /// bytes), master, up, in that order, so that no frame passes before all is right. The guard must be on it already. A
    /// port of another bridge changes over; what is right already is left alone.
    ///
    /// IPv6 is off on it, for the host would speak from it to the pod (router solicitations, multicast reports).
    ///
    /// # Errors
    /// When the link or the bridge does not exist, or the kernel refuses. The link may be half-way then: repeat, or
    /// [`Fabric::leave`].
    pub async fn enslave(&self, link: &LinkName, network: &Network, alias: &str) -> Result<(), FabricError> {
        let netlink = &self.netlink;
        let enslave =
            |source| FabricError::Enslave { link: link.clone(), bridge: network.bridge.clone(), source };
        let bridge = netlink
            .link(network.bridge.as_str())
            .await
            .map_err(|source| FabricError::NoBridge { bridge: network.bridge.clone(), source })?;
        let host_end = netlink.link(link.as_str()).await.map_err(enslave)?;
        self.prepare(&host_end, network.mtu, alias).await.map_err(enslave)?;
        silence(&host_end)?;
        if host_end.master != Some(bridge.index) {
            effect("set-master", netlink.set_master(&host_end, &bridge)).await.map_err(enslave)?;
        }
        if !host_end.up {
            effect("set-up", netlink.set_up(&host_end)).await.map_err(enslave)?;
        }
        Ok(())
    }

    /// Takes a NIC's host end out of whatever bridge it is in, and sets it up as [`Fabric::enslave`] does.
    ///
    /// # Errors
    /// When the link does not exist, or the kernel refuses. The link may be half-way then: repeat.
    pub async fn isolate(&self, link: &LinkName, mtu: Mtu, alias: &str) -> Result<(), FabricError> {
        let isolate = |source| FabricError::Isolate { link: link.clone(), source };
        let host_end = self.netlink.link(link.as_str()).await.map_err(isolate)?;
        if host_end.master.is_some() {
            effect("clear-master", self.netlink.clear_master(&host_end)).await.map_err(isolate)?;
        }
        self.prepare(&host_end, mtu, alias).await.map_err(isolate)?;
        silence(&host_end)?;
        if !host_end.up {
            effect("set-up", self.netlink.set_up(&host_end)).await.map_err(isolate)?;
        }
        Ok(())
    }

    async fn prepare(&self, host_end: &Link, mtu: Mtu, alias: &str) -> Result<(), NetlinkError> {
        let netlink = &self.netlink;
        if host_end.mtu_bytes != mtu.bytes() {
            effect("set-mtu", netlink.set_mtu(host_end, mtu.bytes())).await?;
        }
        if host_end.alias.as_deref() != Some(alias) {
            effect("set-alias", netlink.set_alias(host_end, alias)).await?;
        }
        Ok(())
    }

    /// Takes a NIC's host end out of its bridge, and sets it down first; succeeds when it is out, down, or gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn leave(&self, link: &LinkName) -> Result<(), FabricError> {
        let leave = |source| FabricError::Leave { link: link.clone(), source };
        let Some(host_end) = self.netlink.link_if_any(link.as_str()).await.map_err(leave)? else {
            return Ok(());
        };
        match self.detach(&host_end).await {
            Err(error) if !error.is_missing() => Err(leave(error)),
            _ => Ok(()),
        }
    }

    async fn detach(&self, host_end: &Link) -> Result<(), NetlinkError> {
        if host_end.up {
            effect("set-down", self.netlink.set_down(host_end)).await?;
        }
        if host_end.master.is_some() {
            effect("clear-master", self.netlink.clear_master(host_end)).await?;
        }
        Ok(())
    }
}

/// Where there is no such setting, the kernel has no IPv6.
fn silence(host_end: &Link) -> Result<(), FabricError> {
    let key = format!("net/ipv6/conf/{}/disable_ipv6", host_end.name);
    if sysctl::read(&key).is_ok_and(|value| value != "1") {
        sysctl::write(&key, "1")
            .map_err(|source| FabricError::Silence { link: host_end.name.clone(), source })?;
    }
    Ok(())
}

async fn effect(
    name: &str,
    change: impl Future<Output = Result<(), NetlinkError>>,
) -> Result<(), NetlinkError> {
    crash_point::reached(&format!("fabric.port-{name}.before"));
    change.await?;
    crash_point::reached(&format!("fabric.port-{name}.after"));
    Ok(())
}
