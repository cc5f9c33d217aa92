//! A hypervisor and host ends that do nothing but write down what they are asked, in one common record.

use crate::{
    hypervisor::{
        Connected, Hypervisor, HypervisorError, HypervisorEvent, Kind, NicSpec, Observation, VmHypervisor,
    },
    vm::{HostEndError, HostEndSeen, HostEnds},
};
use async_trait::async_trait;
use nestless_model::{
    attachment::VmState,
    guard::GuardRules,
    identity::{LinkName, Mac, Mtu, NetworkName, NicId, VmName},
    loopback::Membership,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{Notify, mpsc};

/// What exists, and every call in order.
#[derive(Default)]
pub(super) struct World {
    pub(super) calls: Vec<String>,
    pub(super) devices: BTreeSet<NicId>,
    pub(super) links: BTreeMap<NicId, HostEndSeen>,
    /// Calls that begin like this fail.
    pub(super) failing: Option<&'static str>,
    pub(super) down: bool,
    /// MAC addresses of others in the network.
    pub(super) stations: BTreeSet<Mac>,
    /// A look that has begun ends only when this is told.
    pub(super) gate: Option<Arc<Notify>>,
}

#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Arc<Mutex<World>>);

impl Fake {
    pub(super) fn connect(&self) -> (Connected<Box<dyn VmHypervisor>>, mpsc::Sender<HypervisorEvent>) {
        let (sender, events) = mpsc::channel(8);
        (Connected { hypervisor: self.clone(), events }.erased(), sender)
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    pub(super) fn calls(&self) -> String {
        self.with(|world| std::mem::take(&mut world.calls).join("\n"))
    }

    fn call(&self, call: String, effect: impl FnOnce(&mut World)) -> Result<(), std::io::Error> {
        self.with(|world| {
            let fails = world.failing.is_some_and(|prefix| call.starts_with(prefix));
            world.calls.push(if fails { format!("{call} -> refused") } else { call });
            if fails {
                return Err(std::io::Error::other("refused by the test"));
            }
            effect(world);
            Ok(())
        })
    }
}

#[async_trait]
impl Hypervisor for Fake {
    const KIND: &'static Kind = &Kind { name: "fake", host_end: "fake", device: None, max_queues: 1 };
    type HostEnd = LinkName;

    async fn create_host_end(&self, spec: &NicSpec) -> Result<LinkName, HypervisorError> {
        let (nic, link) = (spec.nic, spec.nic.link_name());
        self.call(format!("create {link} mac {} mtu {}", spec.mac, spec.mtu.bytes()), |world| {
            world.links.insert(nic, HostEndSeen { up: true, ..HostEndSeen::default() });
        })
        .map_err(|source| HypervisorError::HostEnd {
            nic,
            link: link.clone(),
            source: source.into(),
        })?;
        Ok(link)
    }

    async fn plug(&self, spec: &NicSpec, link: LinkName) -> Result<(), HypervisorError> {
        let nic = spec.nic;
        self.call(format!("plug {} on {link}", nic.device_name()), |world| {
            world.devices.insert(nic);
        })
        .map_err(|source| HypervisorError::Plug { nic, source: source.into() })
    }

    async fn unplug(&self, nic: NicId, waited: Duration) -> Result<(), HypervisorError> {
        self.call(format!("unplug {}", nic.device_name()), |world| {
            world.devices.remove(&nic);
            world.links.remove(&nic);
        })
        .map_err(|_| HypervisorError::UnplugTimeout { nic, waited })
    }

    async fn observe(&self) -> Result<Observation, HypervisorError> {
        let (seen, gate) = self.with(|world| {
            let state = if world.down { VmState::Down } else { VmState::Running };
            let nics = world.devices.clone();
            let seen = Observation { state, nics, halves: BTreeSet::new(), slots: Some(31) };
            world.calls.extend(world.gate.is_some().then(|| "look".to_owned()));
            (seen, world.gate.clone())
        });
        if let Some(gate) = gate {
            gate.notified().await;
        }
        Ok(seen)
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}

fn failed(operation: &'static str, object: &dyn ToString) -> impl FnOnce(std::io::Error) -> HostEndError {
    let object = object.to_string();
    move |source| HostEndError { operation, object, source: source.into() }
}

#[async_trait]
impl HostEnds for Fake {
    async fn close(&self, link: &LinkName) -> Result<(), HostEndError> {
        self.call(format!("close guard of {link}"), |world| guard(world, link)).map_err(failed("guard", link))
    }

    async fn protect(&self, link: &LinkName, rules: &GuardRules) -> Result<(), HostEndError> {
        let call = format!("open guard of {link} for {} {:?}", rules.mac, rules.addresses);
        self.call(call, |world| guard(world, link)).map_err(failed("guard", link))
    }

    async fn enslave(&self, vm: &VmName, nic: NicId, network: &NetworkName) -> Result<(), HostEndError> {
        let link = nic.link_name();
        self.call(format!("join {link} of {vm} to {network}"), |world| {
            if let Some(end) = world.links.get_mut(&nic) {
                end.bridge = Some("br0".to_owned());
            }
        })
        .map_err(failed("bridge port", &link))
    }

    async fn isolate(&self, vm: &VmName, nic: NicId, _: Mtu) -> Result<(), HostEndError> {
        let link = nic.link_name();
        self.call(format!("isolate {link} of {vm}"), |world| {
            if let Some(end) = world.links.get_mut(&nic) {
                end.bridge = None;
            }
        })
        .map_err(failed("bridge port", &link))
    }

    async fn reflect(&self, link: &LinkName, membership: &Membership) -> Result<(), HostEndError> {
        let Membership { group, fraction, place, .. } = membership;
        self.call(format!("join {link} to {group} as {fraction} at {place}"), |world| {
            if let Some(end) = NicId::from_link_name(link.as_str()).and_then(|nic| world.links.get_mut(&nic))
            {
                (end.guarded, end.reflected) = (false, true);
            }
        })
        .map_err(failed("loopback group", link))
    }

    async fn mac_elsewhere(&self, _: &NetworkName, mac: Mac) -> Result<Option<String>, HostEndError> {
        Ok(self.with(|world| world.stations.contains(&mac).then(|| "behind eth1".to_owned())))
    }

    async fn observe(&self) -> Result<BTreeMap<NicId, HostEndSeen>, HostEndError> {
        Ok(self.with(|world| world.links.clone()))
    }
}

fn guard(world: &mut World, link: &LinkName) {
    if let Some(end) = NicId::from_link_name(link.as_str()).and_then(|nic| world.links.get_mut(&nic)) {
        (end.guarded, end.reflected) = (true, false);
    }
}
