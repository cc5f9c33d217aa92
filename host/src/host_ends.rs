//! Fabric, guard and reflector together are what a VM's task calls its [`HostEnds`].

use crate::{
    fabric::{Fabric, FabricError, FabricState, NicLink},
    guard::{Counters, Guard, GuardError, LinkState},
    hypervisor::link_alias,
    loopback::{Heard, Loopback, LoopbackError},
    shaping::{Shaping, ShapingError},
    vm::{HostEndError, HostEndSeen, HostEnds},
};
use async_trait::async_trait;
use nestless_model::{
    attachment::NicRecord,
    guard::{Bandwidth, GuardRules},
    identity::{LinkName, Mac, Mtu, NetworkName, NicId, VmName},
    loopback::Membership,
};
use nestless_support::{error_chain::in_full, hook::Other};
use std::collections::{BTreeMap, BTreeSet};

/// The host ends of all NICs of one daemon.
pub struct KernelHostEnds {
    fabric: Fabric,
    guard: Guard,
    loopback: Loopback,
    shaping: Shaping,
}

/// Ethernet's, with a VLAN's tag.
const FRAME_HEADER_BYTES: u32 = 18;

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
        let shaping = Shaping::new(fabric.netlink().clone(), fabric.largest_mtu_bytes() + FRAME_HEADER_BYTES);
        Self { fabric, guard, loopback, shaping }
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

    /// Hears which endpoints answer, so that no question waits for one that does not.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn listen(&self) -> Result<(), LoopbackError> {
        for Heard { group, place, family, silent } in self.loopback.listen()? {
            if silent {
                tracing::warn!(%group, %place, %family, "a fraction does not answer (its VM is stopped, its lo down, or it has no such IP): others are refused without waiting for it");
            } else {
                tracing::info!(%group, %place, %family, "a fraction answers again");
            }
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

    /// What the guard of a link has counted, and what its queues had no room for; `None` when it has no guard.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn counters(&self, link: &LinkName) -> Result<Option<Counters>, GuardError> {
        let mut counters = self.guard.counters(link)?;
        if let (Some(counters), Some(nic)) = (&mut counters, NicId::from_link_name(link.as_str())) {
            // For people: what is not known just now is counted as nothing.
            let overflow = self.shaping.overflow(nic).unwrap_or_default();
            counters.dropped.egress_rate += overflow.egress;
            counters.dropped.ingress_rate += overflow.ingress;
        }
        Ok(counters)
    }

    /// Limits what passes a link by queues, and returns what is left for the guard to do: a kernel without queues has it drop
    /// what is beyond the limit, which TCP makes less of.
    async fn shape(&self, link: &LinkName, rules: &GuardRules) -> Result<GuardRules, ShapingError> {
        let limits = Bandwidth { ingress: rules.ingress, egress: rules.egress };
        match self.shaping.set(link, limits).await {
            Ok(()) => Ok(GuardRules { ingress: None, egress: None, ..rules.clone() }),
            Err(error) if error.is_unsupported() => {
                tracing::warn!(%link, error = in_full(&error), "limits are kept by dropping, not by queueing");
                Ok(rules.clone())
            }
            Err(error) => Err(error),
        }
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
        closed.map_err(failed("close guard", link))?;
        let unlimited = self.shaping.set(link, Bandwidth::default()).await;
        unlimited.map_err(failed("take limits off", link))
    }

    async fn protect(&self, link: &LinkName, rules: &GuardRules) -> Result<(), HostEndError> {
        self.loopback.leave_all(link).map_err(failed("leave loopback group", link))?;
        let rules = self.shape(link, rules).await.map_err(failed("limit rate", link))?;
        let opened = self.guard.protect(link, &rules);
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
        let Looked { mut guarded, overtaken } =
            self.guarded().map_err(failed("look at guards", &"all links"))?;
        for (nic, by) in &overtaken {
            self.shut(&nic.link_name(), by).await?;
        }
        // A guard that does not keep its limits is put back like one that is not there.
        for nic in self.shaping.drifted().await.map_err(failed("look at limits", &"all links"))? {
            guarded.remove(&nic);
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

    fn tc(line: &str) -> String {
        let output = std::process::Command::new("tc").args(line.split_whitespace()).output().unwrap();
        assert!(output.status.success(), "tc {line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is limited waits in a queue of that rate in each direction; the guard lets all of it through. Whatever an
    /// administrator's hand does to the queues is seen and put back, and a NIC that is spare again has none.
    #[test]
    fn limits_are_kept_by_queues_that_come_and_go() {
        on_a_host(async |host_ends, vm, pods| {
            let link = NIC.link_name();
            let limit = |bits_per_second| {
                Some(nestless_model::guard::RateLimit { bits_per_second, burst_bits: bits_per_second / 10 })
            };
            let limited = GuardRules { egress: limit(10_000_000), ingress: limit(100_000_000), ..rules() };
            for _ in 0..2 {
                host_ends.protect(&link, &limited).await.unwrap();
                host_ends.enslave(&vm, NIC, &pods).await.unwrap();
                assert_eq!(seen(&host_ends).await, (Some("br-pods".to_owned()), true));
                // 1514 bytes of frames for each 1500 of packets.
                assert!(
                    tc("qdisc show dev nq1").contains("tbf 4e4c: root refcnt 2 rate 10093Kbit"),
                    "{}",
                    tc("qdisc")
                );
                assert!(tc("qdisc show dev nl1").contains("rate 100933Kbit"), "{}", tc("qdisc"));
                assert!(tc("filter show dev nl1 ingress").contains("Redirect to device nq1"));
            }
            for harm in [
                "tc qdisc del dev nl1 root",
                "tc qdisc change dev nq1 handle 4e4c: root tbf rate 1gbit burst 1mb limit 1mb",
                "ip link del nq1",
                "tc filter del dev nl1 ingress pref 65520",
            ] {
                let status = std::process::Command::new("sh").args(["-c", harm]).status().unwrap();
                assert!(status.success(), "{harm}");
                assert!(!seen(&host_ends).await.1, "{harm}");
                host_ends.protect(&link, &limited).await.unwrap();
                assert!(seen(&host_ends).await.1, "{harm}");
            }

            host_ends.close(&link).await.unwrap();
            assert!(!tc("qdisc show dev nl1").contains("tbf"), "{}", tc("qdisc show dev nl1"));
            assert!(!tc("filter show dev nl1 ingress").contains("mirred"));
            assert!(nix::net::if_::if_nametoindex("nq1").is_err());

            host_ends.protect(&link, &limited).await.unwrap();
            ip("link delete nl1");
            HostEnds::observe(&host_ends).await.unwrap();
            assert!(nix::net::if_::if_nametoindex("nq1").is_err(), "the queue of a NIC that is gone");
        });
    }

    /// In both directions, from one pod to another on the bridge.
    #[test]
    fn what_is_limited_arrives() {
        on_a_host(async |host_ends, vm, pods| {
            let other = NicId(2);
            ip("link add nl2 type veth peer name far");
            let limit = Some(nestless_model::guard::RateLimit { bits_per_second: 1_000_000, burst_bits: 8 });
            let limited = GuardRules { egress: limit, ingress: limit, ..rules() };
            let its = GuardRules {
                mac: nestless_model::identity::Mac::new(crate::guard::tests::world::OTHER_MAC).unwrap(),
                addresses: vec!["10.88.0.3".parse().unwrap()],
                ..rules()
            };
            for (nic, rules) in [(NIC, &limited), (other, &its)] {
                host_ends.protect(&nic.link_name(), rules).await.unwrap();
                host_ends.enslave(&vm, nic, &pods).await.unwrap();
            }
            let (pod, far) = (named("pod", "10.88.0.2", rules().mac), named("far", "10.88.0.3", its.mac));
            for (from, to, address) in [(&pod, &far, "10.88.0.3"), (&far, &pod, "10.88.0.2")] {
                transfer(from, to, address, 60_000).await;
            }
        });
    }

    /// A namespace that has the far end of a NIC.
    fn named(
        link: &str,
        address: &str,
        mac: nestless_model::identity::Mac,
    ) -> nestless_support::netns::Namespace {
        let namespace = nestless_support::netns::Namespace::anonymous().unwrap();
        let script = format!("ip link set {link} address {mac} up && ip address add {address}/16 dev {link}");
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&namespace));
        ip(&format!("link set {link} netns /proc/{}/fd/{descriptor}", std::process::id()));
        let run = move || std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(namespace.run_blocking(run).unwrap().success());
        namespace
    }

    async fn transfer(
        from: &nestless_support::netns::Namespace,
        to: &nestless_support::netns::Namespace,
        address: &str,
        bytes: usize,
    ) {
        use std::{
            io::{Read as _, Write as _},
            net::{TcpListener, TcpStream},
        };
        let here = format!("{address}:5000");
        let there = here.clone();
        let listener = to.run(move || TcpListener::bind(here)).await.unwrap().unwrap();
        let receiver = std::thread::spawn(move || {
            let mut received = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
            received.len()
        });
        let mut sender = from.run(move || TcpStream::connect(there)).await.unwrap().unwrap();
        sender.write_all(&vec![7; bytes]).unwrap();
        drop(sender);
        assert_eq!(receiver.join().unwrap(), bytes);
    }
}
