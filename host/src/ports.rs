//! The fabric and the guard together are what a VM's task calls its [`Ports`].

use crate::{
    fabric::{Fabric, FabricError, FabricState},
    guard::{Counters, Guard, GuardError, LinkState},
    hypervisor::link_alias,
    vm::{HostEndSeen, PortError, Ports},
};
use async_trait::async_trait;
use nestless_model::{
    guard::GuardRules,
    identity::{LinkName, NetworkName, NicId, VmName},
};
use std::collections::{BTreeMap, BTreeSet};

/// The host's ends of all NICs of one daemon.
pub struct HostPorts {
    fabric: Fabric,
    guard: Guard,
}

/// One look at the fabric.
pub struct Look(FabricState);

impl Look {
    /// Whether a NIC's host end is a port of some bridge, and up.
    pub fn link_is_joined(&self, nic: NicId) -> bool {
        self.0.links.get(&nic).is_some_and(|link| link.up && link.master.is_some())
    }

    /// Whether a network's bridge is there, and up.
    pub fn bridge_is_up(&self, name: &LinkName) -> bool {
        self.0.bridges.values().any(|bridge| bridge.bridge == *name && bridge.up)
    }
}

impl HostPorts {
    /// Over a fabric that is up and a guard that is loaded.
    pub fn new(fabric: Fabric, guard: Guard) -> Self {
        Self { fabric, guard }
    }

    /// The bridges.
    pub fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// Looks, for people.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub async fn look(&self) -> Result<Look, FabricError> {
        self.fabric.observe().await.map(Look)
    }

    /// What the guard of a link has counted; `None` when it has none.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn counters(&self, link: &LinkName) -> Result<Option<Counters>, GuardError> {
        self.guard.counters(link)
    }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(
    operation: &'static str,
    object: &impl ToString,
) -> impl FnOnce(E) -> PortError {
    let object = object.to_string();
    move |source| PortError { operation, object, source: Box::new(source) }
}

#[async_trait]
impl Ports for HostPorts {
    async fn close(&self, link: &LinkName) -> Result<(), PortError> {
        self.guard.close(link).map_err(failed("close guard", link))
    }

    async fn protect(&self, link: &LinkName, rules: &GuardRules) -> Result<(), PortError> {
        self.guard.protect(link, rules).map_err(failed("open guard", link))
    }

    async fn join(&self, vm: &VmName, nic: NicId, name: &NetworkName) -> Result<(), PortError> {
        let network = self.fabric.network(name).ok_or_else(|| PortError {
            operation: "find network",
            object: name.to_string(),
            source: "it is not in the configuration".into(),
        })?;
        let (link, alias) = (nic.link_name(), link_alias(vm, nic));
        let joined = match self.fabric.join(&link, network, &alias).await {
            // Somebody deleted the bridge, and a pod must not wait for the next look at it.
            Err(FabricError::NoBridge { .. }) => {
                for step in self.fabric.up().await.map_err(failed("mend fabric for", &link))? {
                    tracing::warn!("fabric: mended: {step}");
                }
                self.fabric.join(&link, network, &alias).await
            }
            joined => joined,
        };
        joined.map_err(failed("join bridge", &link))
    }

    async fn observe(&self) -> Result<BTreeMap<NicId, HostEndSeen>, PortError> {
        let guarded = self.guarded().map_err(failed("look at guards", &"all links"))?;
        let links = self.fabric.links().await.map_err(failed("look at links", &"all links"))?;
        let ports = links.into_iter().map(|(nic, link)| {
            let bridge = link.master.filter(|_| link.up);
            (nic, HostEndSeen { bridge, guarded: guarded.contains(&nic) })
        });
        Ok(ports.collect())
    }
}

impl HostPorts {
    /// The NICs whose guard is whole. Entries of links that are gone are forgotten on the way.
    fn guarded(&self) -> Result<BTreeSet<NicId>, GuardError> {
        let mut guarded = BTreeSet::new();
        for seen in self.guard.observe()? {
            let nic = seen.link.as_ref().and_then(|link| NicId::from_link_name(link.as_str()));
            match seen.state {
                LinkState::Gone => self.guard.forget(seen.ifindex)?,
                LinkState::Closed | LinkState::Protected => guarded.extend(nic),
                LinkState::Unguarded | LinkState::Outdated => {}
            }
        }
        Ok(guarded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::tests::world::{World, ip, rules};
    use nestless_model::network::Network;

    const NIC: NicId = NicId(1);

    fn networks() -> Vec<Network> {
        toml::from_str::<BTreeMap<String, Vec<Network>>>(
            "[[network]]\nname = 'pods'\nbridge = 'br-pods'\nmtu = 9000\nuplink = 'none'\nsubnets = [{ prefix = '10.88.0.0/16' }]",
        )
        .unwrap()
        .remove("network")
        .unwrap()
    }

    async fn seen(ports: &HostPorts) -> (Option<String>, bool) {
        let end = Ports::observe(ports).await.unwrap().remove(&NIC).unwrap();
        (end.bridge, end.guarded)
    }

    /// Whatever an administrator's hand takes away is seen, and put back by the steps that follow from it.
    #[test]
    fn a_port_is_seen_as_it_is_and_mended() {
        let world = World::enter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ports = HostPorts::new(Fabric::new("test", networks()).unwrap(), world.guard());
            let (vm, pods) = (VmName::new("vm1").unwrap(), NetworkName::new("pods").unwrap());
            ports.fabric().up().await.unwrap();
            ip("link add nl1 type veth peer name pod");
            assert_eq!(seen(&ports).await, (None, false));
            ports.protect(&NIC.link_name(), &rules()).await.unwrap();
            assert_eq!(seen(&ports).await, (None, true));
            ports.join(&vm, NIC, &pods).await.unwrap();
            let whole = (Some("br-pods".to_owned()), true);
            assert_eq!(seen(&ports).await, whole);
            let mtu_bytes = ports.fabric().links().await.unwrap()[&NIC].mtu_bytes;
            assert_eq!(mtu_bytes, 9000, "jumbo frames pass the port");

            ip("link delete br-pods");
            assert_eq!(seen(&ports).await, (None, true));
            ports.join(&vm, NIC, &pods).await.unwrap();
            assert_eq!(seen(&ports).await, whole, "the bridge was not made again");

            ip("link add other type bridge");
            ip("link set nl1 master other");
            assert_eq!(seen(&ports).await, (Some("other".to_owned()), true));
            ports.join(&vm, NIC, &pods).await.unwrap();
            assert_eq!(seen(&ports).await, whole);

            ip("link set nl1 down");
            assert_eq!(seen(&ports).await, (None, true));
            ports.join(&vm, NIC, &pods).await.unwrap();

            let tc = std::process::Command::new("tc").args(["qdisc", "del", "dev", "nl1", "clsact"]).status();
            assert!(tc.unwrap().success());
            assert_eq!(seen(&ports).await, (Some("br-pods".to_owned()), false));
            ports.protect(&NIC.link_name(), &rules()).await.unwrap();
            assert_eq!(seen(&ports).await, whole);
        });
    }
}
