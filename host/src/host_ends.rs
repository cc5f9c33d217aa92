//! Fabric, guard and reflector together are what a VM's task calls its [`HostEnds`].

use crate::{
    fabric::{Fabric, FabricError, FabricState},
    guard::{Counters, Guard, GuardError, LinkState},
    hypervisor::link_alias,
    loopback::{Loopback, LoopbackError},
    vm::{HostEndError, HostEndSeen, HostEnds},
};
use async_trait::async_trait;
use nestless_model::{
    attachment::NicRecord,
    guard::GuardRules,
    identity::{LinkName, Mtu, NetworkName, NicId, VmName},
    loopback::Membership,
};
use std::collections::{BTreeMap, BTreeSet};

/// The host ends of all NICs of one daemon.
pub struct KernelHostEnds {
    fabric: Fabric,
    guard: Guard,
    loopback: Loopback,
}

/// The fabric at one moment, for people.
pub struct FabricView(FabricState);

impl FabricView {
    /// Whether a NIC's host end is in some bridge, and up.
    pub fn is_enslaved(&self, nic: NicId) -> bool {
        self.0.links.get(&nic).is_some_and(|link| link.up && link.master.is_some())
    }

    /// Whether a network's bridge is there, and up.
    pub fn bridge_is_up(&self, name: &LinkName) -> bool {
        self.0.bridges.values().any(|bridge| bridge.bridge == *name && bridge.up)
    }
}

impl KernelHostEnds {
    /// Over a fabric that is up, and programs that are loaded.
    pub fn new(fabric: Fabric, guard: Guard, loopback: Loopback) -> Self {
        Self { fabric, guard, loopback }
    }

    /// The bridges.
    pub fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// The loopback groups.
    pub fn loopback(&self) -> &Loopback {
        &self.loopback
    }

    /// Gives loopback groups that the kernel knows nothing of their members back, as the ledger has them.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn restore(&self, records: &[NicRecord]) -> Result<(), LoopbackError> {
        let members = records.iter().filter_map(|record| {
            // Of others it is not known how far they came.
            record.attachment().filter(|attachment| attachment.confirmed)?;
            record.membership().map(|own| (own.id, own.place, record.nic.link_name()))
        });
        self.loopback.restore(members)
    }

    /// Lets those leave their loopback groups whose links are gone, so that their peers hear of it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn sweep(&self) -> Result<(), LoopbackError> {
        for (group, place) in self.loopback.sweep()? {
            tracing::info!(%group, %place, "an endpoint is gone: its connections are reset");
        }
        Ok(())
    }

    /// Looks, for people.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub async fn view(&self) -> Result<FabricView, FabricError> {
        self.fabric.observe().await.map(FabricView)
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
) -> impl FnOnce(E) -> HostEndError {
    let object = object.to_string();
    move |source| HostEndError { operation, object, source: Box::new(source) }
}

#[async_trait]
impl HostEnds for KernelHostEnds {
    async fn close(&self, link: &LinkName) -> Result<(), HostEndError> {
        self.loopback.leave_all(link).map_err(failed("leave loopback group", link))?;
        self.guard.close(link).map_err(failed("close guard", link))
    }

    async fn protect(&self, link: &LinkName, rules: &GuardRules) -> Result<(), HostEndError> {
        self.loopback.leave_all(link).map_err(failed("leave loopback group", link))?;
        self.guard.protect(link, rules).map_err(failed("open guard", link))
    }

    async fn isolate(&self, vm: &VmName, nic: NicId, mtu: Mtu) -> Result<(), HostEndError> {
        let (link, alias) = (nic.link_name(), link_alias(vm, nic));
        self.fabric.isolate(&link, mtu, &alias).await.map_err(failed("leave bridge", &link))
    }

    async fn reflect(&self, link: &LinkName, membership: &Membership) -> Result<(), HostEndError> {
        self.loopback
            .join(membership.id, membership.place, link)
            .map_err(failed("join loopback group", link))?;
        // It would limit and count what comes from the other endpoints.
        self.guard.give_way(link).map_err(failed("take guard off", link))
    }

    async fn enslave(&self, vm: &VmName, nic: NicId, name: &NetworkName) -> Result<(), HostEndError> {
        let network = self.fabric.network(name).ok_or_else(|| HostEndError {
            operation: "find network",
            object: name.to_string(),
            source: "it is not in the configuration".into(),
        })?;
        let (link, alias) = (nic.link_name(), link_alias(vm, nic));
        let enslaved = match self.fabric.enslave(&link, network, &alias).await {
            // Somebody deleted the bridge, and a pod must not wait for the next look at it.
            Err(FabricError::NoBridge { .. }) => {
                for step in self.fabric.up().await.map_err(failed("mend fabric for", &link))? {
                    tracing::warn!("fabric: mended: {step}");
                }
                self.fabric.enslave(&link, network, &alias).await
            }
            enslaved => enslaved,
        };
        enslaved.map_err(failed("join bridge", &link))
    }

    async fn observe(&self) -> Result<BTreeMap<NicId, HostEndSeen>, HostEndError> {
        let guarded = self.guarded().map_err(failed("look at guards", &"all links"))?;
        let links = self.fabric.links().await.map_err(failed("look at links", &"all links"))?;
        let reflected = self.reflected().map_err(failed("look at loopback groups", &"all links"))?;
        let host_ends = links.into_iter().map(|(nic, link)| {
            let (guarded, reflected) = (guarded.contains(&nic), reflected.contains(&link.index));
            (nic, HostEndSeen { up: link.up, bridge: link.master, guarded, reflected })
        });
        Ok(host_ends.collect())
    }
}

impl KernelHostEnds {
    /// The links that are endpoints. Those that are gone leave on the way.
    fn reflected(&self) -> Result<BTreeSet<u32>, LoopbackError> {
        self.sweep()?;
        let members = self.loopback.observe()?.into_iter().flat_map(|group| group.members);
        Ok(members.filter(|member| member.attached).map(|member| member.ifindex).collect())
    }

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

    /// Runs a test where the fabric is up and a NIC has its host end.
    fn on_a_host(test: impl AsyncFnOnce(KernelHostEnds, VmName, NetworkName)) {
        let world = World::enter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fabric = Fabric::new("test", networks()).unwrap();
            let host_ends = KernelHostEnds::new(fabric, world.guard(), world.loopback());
            host_ends.fabric().up().await.unwrap();
            ip("link add nl1 type veth peer name pod");
            test(host_ends, VmName::new("vm1").unwrap(), NetworkName::new("pods").unwrap()).await;
        });
    }

    async fn seen(host_ends: &KernelHostEnds) -> (Option<String>, bool) {
        let end = HostEnds::observe(host_ends).await.unwrap().remove(&NIC).unwrap();
        (end.bridge.filter(|_| end.up), end.guarded)
    }

    fn endpoint(place: u8) -> Membership {
        Membership {
            group: "shop".parse().unwrap(),
            id: nestless_model::loopback::GroupId::new(1).unwrap(),
            fraction: "web".parse().unwrap(),
            place: nestless_model::loopback::Place::new(place).unwrap(),
            size: nestless_model::loopback::GroupSize::MAX,
        }
    }

    /// A spare NIC becomes an endpoint and is spare again, and one that vanishes leaves its group.
    #[test]
    fn guard_and_reflector_take_turns() {
        on_a_host(async |host_ends, vm, pods| {
            let link = NIC.link_name();
            let seen = async || HostEnds::observe(&host_ends).await.unwrap().remove(&NIC).unwrap();
            let isolated = HostEndSeen { up: true, reflected: true, ..HostEndSeen::default() };
            for place in [3, 3, 5] {
                host_ends.close(&link).await.unwrap();
                host_ends.enslave(&vm, NIC, &pods).await.unwrap();
                assert!(seen().await.guarded);
                host_ends.isolate(&vm, NIC, Mtu::default()).await.unwrap();
                host_ends.reflect(&link, &endpoint(place)).await.unwrap();
                host_ends.reflect(&link, &endpoint(place)).await.unwrap();
                assert_eq!(seen().await, isolated);
                assert_eq!(host_ends.loopback().observe().unwrap()[0].members[0].place.number(), place);
                assert!(host_ends.counters(&link).unwrap().is_none(), "the guard still counts");
            }
            host_ends.close(&link).await.unwrap();
            assert_eq!(host_ends.loopback().observe().unwrap(), [], "a group of nobody");
            assert!(seen().await.guarded);

            host_ends.reflect(&link, &endpoint(0)).await.unwrap();
            ip("link delete nl1");
            host_ends.sweep().unwrap();
            assert_eq!(host_ends.loopback().observe().unwrap(), []);
        });
    }

    /// Whatever an administrator's hand takes away is seen, and put back by the steps that follow from it.
    #[test]
    fn a_port_is_seen_as_it_is_and_mended() {
        on_a_host(async |host_ends, vm, pods| {
            assert_eq!(seen(&host_ends).await, (None, false));
            host_ends.protect(&NIC.link_name(), &rules()).await.unwrap();
            assert_eq!(seen(&host_ends).await, (None, true));
            host_ends.enslave(&vm, NIC, &pods).await.unwrap();
            let whole = (Some("br-pods".to_owned()), true);
            assert_eq!(seen(&host_ends).await, whole);
            let mtu_bytes = host_ends.fabric().links().await.unwrap()[&NIC].mtu_bytes;
            assert_eq!(mtu_bytes, 9000, "jumbo frames pass the port");

            ip("link delete br-pods");
            assert_eq!(seen(&host_ends).await, (None, true));
            host_ends.enslave(&vm, NIC, &pods).await.unwrap();
            assert_eq!(seen(&host_ends).await, whole, "the bridge was not made again");

            ip("link add other type bridge");
            ip("link set nl1 master other");
            assert_eq!(seen(&host_ends).await, (Some("other".to_owned()), true));
            host_ends.enslave(&vm, NIC, &pods).await.unwrap();
            assert_eq!(seen(&host_ends).await, whole);

            ip("link set nl1 down");
            assert_eq!(seen(&host_ends).await, (None, true));
            host_ends.enslave(&vm, NIC, &pods).await.unwrap();

            let tc = std::process::Command::new("tc").args(["qdisc", "del", "dev", "nl1", "clsact"]).status();
            assert!(tc.unwrap().success());
            assert_eq!(seen(&host_ends).await, (Some("br-pods".to_owned()), false));
            host_ends.protect(&NIC.link_name(), &rules()).await.unwrap();
            assert_eq!(seen(&host_ends).await, whole);
        });
    }
}
