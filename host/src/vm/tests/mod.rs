//! The task against recorded fakes: golden text of what it does, and in which order.

mod fakes;

use super::{AttachRequest, Pools, Reported, RequestError, ReserveRequest, VmConfig, VmHandle, spawn};
use crate::{hypervisor::HypervisorEvent, ledger::Ledger};
use fakes::Fake;
use nestless_model::{
    address::{AddressRequest, Family, ReservationWish},
    attachment::{AttachRefusal, Limits, PodRef, Wish},
    identity::{AttachmentId, Mtu},
    loopback::{JoinError, JoinWish},
    network::{Network, Subnet, Uplink},
};
use std::{collections::BTreeSet, path::Path, sync::Arc};
use tokio::sync::mpsc;

struct Daemon {
    handle: VmHandle,
    events: mpsc::Sender<HypervisorEvent>,
    task: tokio::task::JoinHandle<Result<(), crate::ledger::LedgerError>>,
}

fn network() -> Network {
    let subnet = |prefix: &str| Subnet {
        prefix: prefix.parse().unwrap(),
        gateway: None,
        first: None,
        last: None,
        exclude: vec![],
    };
    Network {
        name: "pods".parse().unwrap(),
        bridge: "br0".parse().unwrap(),
        uplink: Uplink::None,
        mtu: Mtu::default(),
        subnets: vec![subnet("10.1.0.0/29")],
        cool_down_s: 3600,
        may_overlap: Vec::new(),
        dns: vec![],
        macs: vec!["02:00:5e".parse().unwrap()],
    }
}

/// Starts a daemon for one VM over a ledger, as a restart would.
async fn start(folder: &Path, fake: &Fake, warm_pool: u32) -> Daemon {
    start_with(folder, fake, warm_pool, network()).await
}

async fn start_with(folder: &Path, fake: &Fake, warm_pool: u32, network: Network) -> Daemon {
    let ledger = Ledger::open(&folder.join("ledger.redb")).unwrap();
    let contents = ledger.read().unwrap();
    let pools = Arc::new(Pools::new(ledger, 1, vec![network], Default::default(), &contents));
    let limits = Limits {
        nic_limit: 4,
        warm_pool,
        warm_pool_max: warm_pool,
        default_network: "pods".parse().unwrap(),
        mtu: Mtu::default(),
    };
    let (connected, events) = fake.connect();
    let config = VmConfig { name: "vm1".parse().unwrap(), limits, queues: 1 };
    let remembered = contents.by_vm().remove(&config.name).unwrap_or_default();
    let (handle, looked, task) = spawn(config, connected, Arc::new(fake.clone()), pools, remembered);
    looked.await.unwrap();
    Daemon { handle, events, task }
}

impl Daemon {
    async fn stop(self) {
        self.handle.stop().await;
        self.task.await.unwrap().unwrap();
    }

    async fn hello(&self) {
        self.handle.hello("boot-1".parse().unwrap()).await.unwrap();
    }
}

fn interface(n: u32) -> AttachmentId {
    AttachmentId { container: format!("c{n}").parse().unwrap(), interface: "eth0".parse().unwrap() }
}

fn request(n: u32) -> AttachRequest {
    AttachRequest {
        request: format!("r{n}").parse().unwrap(),
        id: interface(n),
        network: None,
        wish: Wish::Pod(AddressRequest::default()),
        egress: None,
        ingress: None,
        sandbox: format!("/run/netns/c{n}"),
        pod: PodRef::default(),
    }
}

#[tokio::test]
async fn guard_before_port_before_plug_and_the_reverse_at_the_end() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    let granted = daemon.handle.attach(request(1)).await.unwrap();
    assert_eq!(granted.purpose.addresses()[0].to_string(), "10.1.0.2/29");
    insta::assert_snapshot!(fake.calls(), @r"
    create nl1 mac 4e:4c:00:01:00:01 mtu 1500
    open guard of nl1 for 4e:4c:00:01:00:01 [10.1.0.2]
    join nl1 of vm1 to pods
    plug nestless-1 on nl1
    ");
    daemon.handle.confirm(interface(1), "0000:01:01.0".into()).await.unwrap();
    assert!(daemon.handle.check(interface(1)).await.unwrap().is_empty());
    assert!(daemon.handle.detach(interface(1)).await.unwrap());
    assert!(!daemon.handle.detach(interface(1)).await.unwrap());
    daemon.stop().await;
    insta::assert_snapshot!(fake.calls(), @r"
    close guard of nl1
    unplug nestless-1
    ");
}

fn endpoint(n: u32) -> AttachRequest {
    let wish =
        JoinWish { group: "shop".parse().unwrap(), fraction: format!("f{n}").parse().unwrap(), size: None };
    AttachRequest { wish: Wish::Endpoint(wish), ..request(n) }
}

#[tokio::test]
async fn an_endpoint_keeps_its_place_over_a_restart() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    daemon.handle.attach(endpoint(1)).await.unwrap();
    let granted = daemon.handle.attach(endpoint(2)).await.unwrap();
    let purpose = granted.purpose;
    assert_eq!((purpose.addresses().len(), purpose.membership().unwrap().place.number()), (0, 1));
    daemon.handle.confirm(interface(2), String::new()).await.unwrap();
    let double = AttachRequest { wish: endpoint(2).wish, ..request(3) };
    let refused = daemon.handle.attach(double).await.unwrap_err();
    assert!(matches!(refused, RequestError::Join(JoinError::Taken { .. })), "{refused}");
    assert!(daemon.handle.detach(interface(1)).await.unwrap());
    daemon.stop().await;
    insta::assert_snapshot!(fake.calls(), @r"
    create nl1 mac 4e:4c:00:01:00:01 mtu 1500
    isolate nl1 of vm1
    join nl1 to shop as f1 at 0
    plug nestless-1 on nl1
    create nl2 mac 4e:4c:00:01:00:02 mtu 1500
    isolate nl2 of vm1
    join nl2 to shop as f2 at 1
    plug nestless-2 on nl2
    close guard of nl1
    unplug nestless-1
    ");
    let daemon = start(folder.path(), &fake, 0).await;
    assert!(daemon.handle.check(interface(2)).await.unwrap().is_empty());
    let granted = daemon.handle.attach(endpoint(3)).await.unwrap();
    assert_eq!(granted.purpose.membership().unwrap().place.number(), 0);
    daemon.stop().await;
    insta::assert_snapshot!(fake.calls(), @r"
    join nl2 to shop as f2 at 1
    create nl3 mac 4e:4c:00:01:00:03 mtu 1500
    isolate nl3 of vm1
    join nl3 to shop as f3 at 0
    plug nestless-3 on nl3
    ");
}

#[tokio::test]
async fn a_restart_keeps_what_was_promised_and_changes_nothing_but_the_guard() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    let before = daemon.handle.attach(request(1)).await.unwrap();
    daemon.stop().await;
    fake.calls();
    let daemon = start(folder.path(), &fake, 0).await;
    // The same request, as an agent repeats it that never heard the answer.
    assert_eq!(daemon.handle.attach(request(1)).await.unwrap(), before);
    let other = AttachRequest { request: "other".parse().unwrap(), ..request(1) };
    let refused = daemon.handle.attach(other).await.unwrap_err();
    assert!(
        matches!(refused, RequestError::Refused { refusal: AttachRefusal::AlreadyAttached { .. }, .. }),
        "{refused}"
    );
    daemon.stop().await;
    insta::assert_snapshot!(fake.calls(), @"open guard of nl1 for 4e:4c:00:01:00:01 [10.1.0.2]");
}

#[tokio::test]
async fn a_warm_attach_is_one_guard_update() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 1).await;
    daemon.hello().await;
    while fake.with(|world| world.devices.is_empty()) {
        tokio::task::yield_now().await;
    }
    let free = BTreeSet::from(["4e:4c:00:01:00:01".parse().unwrap()]);
    daemon.handle.report(Reported { free, ..Reported::default() }).await.unwrap();
    fake.calls();
    let granted = daemon.handle.attach(request(1)).await.unwrap();
    assert!(granted.warm);
    let calls = fake.calls();
    assert!(calls.contains("open guard of nl1 for 4e:4c:00:01:00:01 [10.1.0.2]"), "{calls}");
    assert!(!calls.contains("plug nestless-1"), "{calls}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_refused_plug_is_undone_and_its_address_rests() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    fake.with(|world| world.failing = Some("plug"));
    let refused = daemon.handle.attach(request(1)).await.unwrap_err().to_string();
    assert!(
        refused.contains("VM vm1: could not plug for c1/eth0: plug nic 1: refused by the test"),
        "{refused}"
    );
    fake.with(|world| world.failing = None);
    let granted = daemon.handle.attach(request(2)).await.unwrap();
    assert_eq!(granted.purpose.addresses()[0].to_string(), "10.1.0.3/29", "the first address rests");
    daemon.stop().await;
    assert_eq!(fake.with(|world| world.links.len()), 1);
}

#[tokio::test]
async fn a_vm_that_dies_takes_its_nics_and_leaves_nothing_in_the_ledger() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    daemon.handle.attach(request(1)).await.unwrap();
    fake.with(|world| {
        world.down = true;
        world.devices.clear();
        world.links.clear();
    });
    daemon.events.send(HypervisorEvent::Down).await.unwrap();
    daemon.handle.reconcile().await.unwrap();
    let refused = daemon.handle.attach(request(2)).await.unwrap_err();
    assert!(matches!(refused, RequestError::Refused { refusal: AttachRefusal::VmDown, .. }), "{refused}");
    daemon.stop().await;
    let ledger = Ledger::open(&folder.path().join("ledger.redb")).unwrap();
    assert!(ledger.read().unwrap().nics.is_empty());
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_its_reason() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    let booting = daemon.handle.attach(request(1)).await.unwrap_err().to_string();
    assert!(booting.contains("has not said hello since it booted"), "{booting}");
    daemon.hello().await;
    let elsewhere = AttachRequest { network: Some("moon".parse().unwrap()), ..request(1) };
    let unknown = daemon.handle.attach(elsewhere).await.unwrap_err().to_string();
    assert_eq!(unknown, "there is no network \"moon\" on this host; it has pods");
    for n in 1..=4 {
        daemon.handle.attach(request(n)).await.unwrap();
    }
    let full = daemon.handle.attach(request(5)).await.unwrap_err().to_string();
    assert_eq!(full, "VM vm1: all 4 NICs of the VM are taken (the operator's nic_limit)");
    assert!(matches!(daemon.handle.check(interface(9)).await, Err(RequestError::NotFound { .. })));
    daemon.stop().await;
}

/// A bridge believes whoever sends: with somebody else's MAC address, a pod would get what is for that one.
#[tokio::test]
async fn a_mac_address_is_given_if_the_operator_allows_it_and_nobody_has_it() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    let ask = async |n: u32, mac: &str| {
        let wish = Wish::Pod(AddressRequest { mac: Some(mac.parse().unwrap()), ..AddressRequest::default() });
        daemon.handle.attach(AttachRequest { wish, ..request(n) }).await.map_err(|error| error.to_string())
    };
    for mac in ["52:54:00:12:34:56", "02:42:ac:11:00:02", "00:00:5e:00:01:07", "02:00:5f:00:00:01"] {
        let told = ask(1, mac).await.unwrap_err();
        for words in ["network pods", mac, "VM vm1", "begin with 02:00:5e", "`macs`"] {
            assert!(told.contains(words), "no {words:?} in: {told}");
        }
    }
    fake.with(|world| world.stations.insert("02:00:5e:00:00:01".parse().unwrap()));
    let told = ask(1, "02:00:5e:00:00:01").await.unwrap_err();
    assert!(told.contains("in use elsewhere: behind eth1"), "{told}");
    let granted = ask(1, "02:00:5e:00:00:02").await.unwrap();
    assert_eq!(granted.pod_mac.to_string(), "02:00:5e:00:00:02");
    daemon.stop().await;
}

#[tokio::test]
async fn a_check_is_not_answered_by_a_look_that_began_before_it() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    let gate = Arc::new(tokio::sync::Notify::new());
    fake.with(|world| world.gate = Some(Arc::clone(&gate)));
    daemon.events.send(HypervisorEvent::Up).await.unwrap();
    while !fake.with(|world| world.calls.contains(&"look".to_owned())) {
        tokio::task::yield_now().await;
    }
    // The look has seen a VM without NICs, and is not over.
    daemon.handle.attach(request(1)).await.unwrap();
    fake.with(|world| world.gate = None);
    let let_go = async {
        // Answered after the check was taken in, since requests are served in order.
        daemon.handle.snapshot().await.unwrap();
        gate.notify_one();
    };
    let (faults, ()) = tokio::join!(daemon.handle.check(interface(1)), let_go);
    assert_eq!(faults.unwrap(), Vec::<String>::new());
    daemon.stop().await;
}

#[tokio::test]
async fn ids_that_a_lost_ledger_had_given_out_are_not_given_again() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    daemon.handle.attach(request(1)).await.unwrap();
    daemon.stop().await;
    fake.calls();
    std::fs::remove_file(folder.path().join("ledger.redb")).unwrap();
    // The unplug of what is not known takes its time meanwhile.
    fake.with(|world| world.failing = Some("unplug"));
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    let granted = daemon.handle.attach(request(2)).await.unwrap();
    assert_eq!(granted.nic.0, 2, "nic 1 is still plugged");
    daemon.stop().await;
    assert!(fake.calls().starts_with("close guard of nl1"));
}

#[tokio::test]
async fn a_port_of_a_bridge_that_is_its_network_s_no_more_changes_over() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    daemon.handle.attach(request(1)).await.unwrap();
    daemon.handle.confirm(interface(1), String::new()).await.unwrap();
    daemon.stop().await;
    let renamed = Network { bridge: "br7".parse().unwrap(), ..network() };
    fake.calls();
    let daemon = start_with(folder.path(), &fake, 0, renamed).await;
    daemon.stop().await;
    insta::assert_snapshot!(fake.calls(), @r"
    open guard of nl1 for 4e:4c:00:01:00:01 [10.1.0.2]
    join nl1 of vm1 to pods
    ");
    // A network that is configured no more: its pods stay where they are.
    let other = Network { name: "others".parse().unwrap(), bridge: "br9".parse().unwrap(), ..network() };
    let daemon = start_with(folder.path(), &fake, 0, other).await;
    assert!(daemon.handle.check(interface(1)).await.unwrap().is_empty());
    assert!(daemon.handle.detach(interface(1)).await.unwrap());
    daemon.stop().await;
    insta::assert_snapshot!(fake.calls(), @r"
    open guard of nl1 for 4e:4c:00:01:00:01 [10.1.0.2]
    close guard of nl1
    unplug nestless-1
    ");
}

#[tokio::test]
async fn a_vm_that_is_configured_no_more_keeps_its_addresses_until_it_ends() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    daemon.hello().await;
    daemon.handle.attach(request(1)).await.unwrap();
    daemon.stop().await;
    let ledger = Ledger::open(&folder.path().join("ledger.redb")).unwrap();
    let contents = ledger.read().unwrap();
    let pools = Pools::new(ledger, 1, vec![network()], Default::default(), &contents);
    let left = pools.settle_departed(contents.nics.clone(), |_| true).await.unwrap();
    assert_eq!(left, contents.nics);
    let in_use = |pools: &Pools| pools.subnets(&"pods".parse().unwrap())[0].count;
    assert_eq!((in_use(&pools).in_use, in_use(&pools).cooling), (1, 0));
    assert_eq!(pools.settle_departed(left, |_| false).await.unwrap(), []);
    assert_eq!((in_use(&pools).in_use, in_use(&pools).cooling), (0, 1));
    drop(pools);
    let contents = Ledger::open(&folder.path().join("ledger.redb")).unwrap().read().unwrap();
    assert!(contents.nics.is_empty() && contents.boots.is_empty());
    assert_eq!(contents.cooling.len(), 1);
}

#[tokio::test]
async fn a_reserved_address_outlasts_its_nics_and_a_restart() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let daemon = start(folder.path(), &fake, 0).await;
    let any = || ReserveRequest {
        request: "keep".parse().unwrap(),
        network: None,
        wish: ReservationWish::Any(Family::V4),
    };
    let booting = daemon.handle.reserve(any()).await.unwrap_err().to_string();
    assert!(booting.contains("has not said hello since it booted"), "{booting}");
    daemon.hello().await;
    let kept = daemon.handle.reserve(any()).await.unwrap();
    let address = kept.address.addr();
    let with = |n| {
        let wish = Wish::Pod(AddressRequest { addresses: vec![address], ..Default::default() });
        AttachRequest { wish, ..request(n) }
    };
    daemon.handle.attach(with(1)).await.unwrap();
    assert!(daemon.handle.detach(interface(1)).await.unwrap());
    daemon.stop().await;
    let daemon = start(folder.path(), &fake, 0).await;
    assert_eq!(daemon.handle.reserve(any()).await.unwrap(), kept);
    assert_eq!(daemon.handle.snapshot().await.unwrap().reserved, 1);
    let granted = daemon.handle.attach(with(2)).await.unwrap();
    assert_eq!(granted.purpose.addresses(), [kept.address]);
    assert!(daemon.handle.unreserve(None, address).await.unwrap());
    assert!(!daemon.handle.unreserve(None, address).await.unwrap());
    daemon.stop().await;
    let contents = Ledger::open(&folder.path().join("ledger.redb")).unwrap().read().unwrap();
    assert_eq!((contents.reservations, contents.cooling), (vec![], vec![]), "a NIC has it");
}

#[tokio::test]
async fn a_clock_that_was_ahead_makes_no_address_rest_for_years() {
    let (folder, century_s) = (tempfile::tempdir().unwrap(), 3_000_000_000);
    let ledger = Ledger::open(&folder.path().join("ledger.redb")).unwrap();
    let cooling = vec![("pods".parse().unwrap(), "10.1.0.2".parse().unwrap(), 2 * century_s)];
    let pools = Pools::new(
        ledger,
        1,
        vec![network()],
        Default::default(),
        &crate::ledger::Contents { cooling, ..Default::default() },
    );
    let asked = AddressRequest { addresses: vec!["10.1.0.2".parse().unwrap()], ..Default::default() };
    let refused =
        pools.take(&"vm1".parse().unwrap(), &"pods".parse().unwrap(), &Wish::Pod(asked)).unwrap_err();
    assert_eq!(refused.to_string(), "network pods: 10.1.0.2 cools down after use, and is free in 3600 s");
}
