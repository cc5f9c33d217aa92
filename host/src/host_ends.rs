//! Fabric, guard and reflector together are what a VM's task calls its [`HostEnds`].

use crate::{
    fabric::{Fabric, FabricError, FabricState, NicLink},
    guard::{Counters, Guard, GuardError, LinkState},
    hypervisor::link_alias,
    loopback::{Loopback, LoopbackError},
    vm::{HostEndError, HostEndSeen, HostEnds},
};
use async_trait::async_trait;
use nestless_model::{
    attachment::NicRecord,
    guard::GuardRules,
    identity::{LinkName, Mac, Mtu, NetworkName, NicId, VmName},
    loopback::Membership,
};
use nestless_support::hook::Other;
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

    /// What is amiss with a NIC's host end, in sentences for people; nothing of one that is gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn faults(&self, link: &LinkName) -> Result<Vec<String>, GuardError> {
        let by = self.guard.overtaken_by(link)?;
        Ok(by
            .iter()
            .map(|other| format!("port closed: {other} stands before the filter of {link}"))
            .collect())
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
        let closed = self.guard.close(link);
        self.shut_if_overtaken(link, closed.as_ref().err().and_then(GuardError::overtaken_by)).await?;
        closed.map_err(failed("close guard", link))
    }

    async fn protect(&self, link: &LinkName, rules: &GuardRules) -> Result<(), HostEndError> {
        self.loopback.leave_all(link).map_err(failed("leave loopback group", link))?;
        let opened = self.guard.protect(link, rules);
        self.shut_if_overtaken(link, opened.as_ref().err().and_then(GuardError::overtaken_by)).await?;
        opened.map_err(failed("open guard", link))
    }

    async fn isolate(&self, vm: &VmName, nic: NicId, mtu: Mtu) -> Result<(), HostEndError> {
        let (link, alias) = (nic.link_name(), link_alias(vm, nic));
        self.fabric.isolate(&link, mtu, &alias).await.map_err(failed("leave bridge", &link))
    }

    async fn reflect(&self, link: &LinkName, membership: &Membership) -> Result<(), HostEndError> {
        let joined = self.loopback.join(membership.id, membership.place, link);
        self.shut_if_overtaken(link, joined.as_ref().err().and_then(LoopbackError::overtaken_by)).await?;
        joined.map_err(failed("join loopback group", link))?;
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

    async fn mac_elsewhere(&self, name: &NetworkName, mac: Mac) -> Result<Option<String>, HostEndError> {
        let Some(network) = self.fabric.network(name) else { return Ok(None) };
        self.fabric.mac_elsewhere(network, mac).await.map_err(failed("look for MAC address", &mac))
    }

    async fn observe(&self) -> Result<BTreeMap<NicId, HostEndSeen>, HostEndError> {
        let Looked { guarded, overtaken } = self.guarded().map_err(failed("look at guards", &"all links"))?;
        for (nic, by) in &overtaken {
            self.shut(&nic.link_name(), by).await?;
        }
        let links = self.fabric.links().await.map_err(failed("look at links", &"all links"))?;
        let reflected = self.reflected().map_err(failed("look at loopback groups", &"all links"))?;
        let host_ends = links.into_iter().map(|(nic, link)| {
            let (guarded, reflected) = (guarded.contains(&nic), reflected.contains(&link.index));
            let overtaken = overtaken.contains_key(&nic);
            (nic, HostEndSeen { up: link.up, bridge: link.master, guarded, reflected, overtaken })
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

    /// The NICs whose guard is whole, and those whose guard or reflector may not be heard. Entries of links that are gone are
    /// forgotten on the way.
    fn guarded(&self) -> Result<Looked, GuardError> {
        let mut looked = Looked::default();
        for seen in self.guard.observe()? {
            let nic = seen.link.as_ref().and_then(|link| NicId::from_link_name(link.as_str()));
            match seen.state {
                LinkState::Gone => self.guard.forget(seen.ifindex)?,
                LinkState::Closed | LinkState::Protected => looked.guarded.extend(nic),
                LinkState::Overtaken { by } => looked.overtaken.extend(nic.map(|nic| (nic, by))),
                LinkState::Unguarded | LinkState::Outdated => {}
            }
        }
        Ok(looked)
    }

    async fn shut_if_overtaken(&self, link: &LinkName, by: Option<&[Other]>) -> Result<(), HostEndError> {
        match by {
            Some(by) => self.shut(link, by).await,
            None => Ok(()),
        }
    }

    /// Sets a link down and out of its bridge: its filter may be passed over, so nothing may come by it.
    async fn shut(&self, link: &LinkName, by: &[Other]) -> Result<(), HostEndError> {
        let is_open = |end: &NicLink| end.link == *link && (end.up || end.master.is_some());
        let links = self.fabric.links().await.map_err(failed("look at", link))?;
        if links.values().any(is_open) {
            let by: Vec<String> = by.iter().map(ToString::to_string).collect();
            tracing::error!(%link, "port closed: before its filter stands {}", by.join(", "));
        }
        self.fabric.leave(link).await.map_err(failed("close port", link))
    }
}

/// What is known of all guards.
#[derive(Default)]
struct Looked {
    guarded: BTreeSet<NicId>,
    overtaken: BTreeMap<NicId, Vec<Other>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::tests::world::{World, ip, rules};
    use nestless_model::network::Network;
    use nestless_support::{clsact::Hook, hook::Way, netlink::Netlink};

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
        on_a_host_of(&World::enter(), test);
    }

    fn on_a_host_of(world: &World, test: impl AsyncFnOnce(KernelHostEnds, VmName, NetworkName)) {
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
            owner: None,
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

    #[test]
    fn a_mac_address_is_known_where_it_is() {
        on_a_host(async |host_ends, vm, pods| {
            let whose = async |mac: &str| host_ends.mac_elsewhere(&pods, mac.parse().unwrap()).await.unwrap();
            host_ends.protect(&NIC.link_name(), &rules()).await.unwrap();
            host_ends.enslave(&vm, NIC, &pods).await.unwrap();
            ip("link add eth1 type veth peer name station");
            ip("link set eth1 master br-pods up");
            ip("link add other type bridge");
            let learn = |mac: &str, port: &str| {
                // A port that is down learns nothing by itself.
                let fdb = ["fdb", "replace", mac, "dev", port, "master", "static"];
                assert!(std::process::Command::new("bridge").args(fdb).status().unwrap().success());
            };
            let links = Netlink::here().unwrap().links().await.unwrap();
            for link in links.iter().filter(|link| !link.loopback) {
                let told = whose(&link.mac.unwrap().to_string()).await.unwrap();
                assert_eq!(told, format!("it is that of the host's link {}", link.name));
            }
            learn("02:00:5e:00:00:01", "eth1");
            learn("02:00:5e:00:00:02", "nl1");
            assert_eq!(whose("02:00:5e:00:00:01").await.unwrap(), "the bridge knows it behind eth1");
            assert_eq!(whose("02:00:5e:00:00:02").await, None, "an earlier pod's");
            assert_eq!(whose("02:00:5e:00:00:03").await, None);
        });
    }

    /// Whatever another program before it lets pass: the port is closed until it is gone, and what is there says why.
    #[test]
    fn a_port_whose_guard_is_passed_over_is_closed() {
        let world = World::enter();
        on_a_host_of(&world, async |host_ends, vm, pods| {
            let link = NIC.link_name();
            let whole = (Some("br-pods".to_owned()), true);
            host_ends.protect(&link, &rules()).await.unwrap();
            host_ends.enslave(&vm, NIC, &pods).await.unwrap();
            let other = world.intruder();
            other.put_before(Way::Tcx, "nl1", Hook::Ingress);
            let end = HostEnds::observe(&host_ends).await.unwrap().remove(&NIC).unwrap();
            assert_eq!(end, HostEndSeen { overtaken: true, ..HostEndSeen::default() });
            let faults = host_ends.faults(&link).unwrap();
            assert!(faults[0].starts_with("port closed: program "), "{faults:?}");

            // Whoever would open it again, may not.
            ip("link set nl1 master br-pods up");
            let told = host_ends.protect(&link, &rules()).await.unwrap_err();
            assert!(
                std::error::Error::source(&told).unwrap().to_string().contains("stands before the guard")
            );
            assert_eq!(host_ends.fabric().links().await.unwrap()[&NIC].master, None);

            other.take_off();
            host_ends.protect(&link, &rules()).await.unwrap();
            host_ends.enslave(&vm, NIC, &pods).await.unwrap();
            assert_eq!(seen(&host_ends).await, whole);
            assert_eq!(host_ends.faults(&link).unwrap(), Vec::<String>::new());

            host_ends.isolate(&vm, NIC, Mtu::default()).await.unwrap();
            host_ends.reflect(&link, &endpoint(0)).await.unwrap();
            other.put_before(Way::Tcx, "nl1", Hook::Ingress);
            let end = HostEnds::observe(&host_ends).await.unwrap().remove(&NIC).unwrap();
            assert_eq!(end, HostEndSeen { overtaken: true, ..HostEndSeen::default() });
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

            nestless_support::hook::clear(Way::Tcx, "nl1", Hook::Ingress, &[nestless_bpf::guard::SENT])
                .unwrap();
            assert_eq!(seen(&host_ends).await, (Some("br-pods".to_owned()), false));
            host_ends.protect(&NIC.link_name(), &rules()).await.unwrap();
            assert_eq!(seen(&host_ends).await, whole);
        });
    }
}
