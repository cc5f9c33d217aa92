//! NICs between parking and sandboxes, on the real kernel.

mod fabric;

use fabric::{Fabric, PATIENCE, links, nic_mac, pod_nic, route};
use nestless_guest::{
    identify::parked_name,
    parking::ParkingError,
    pod_nic::{PodNicError, configure, inspect, withdraw},
    sandbox_watch::SandboxWatch,
};
use nestless_model::identity::Mac;
use nestless_support::{
    netlink::{BridgeSettings, HardwareAddress, Netlink},
    netns::Namespace,
};
use std::{net::UdpSocket, time::Duration};

#[tokio::test]
async fn a_nic_is_parked_configured_and_works() {
    let fabric = Fabric::new().await;
    let parking = fabric.parking().await;
    let nic = fabric.plug(1).await;
    parking.wait_for(nic, PATIENCE).await.unwrap();
    assert_eq!(links(&fabric.vm).await, []);

    let sandbox = Namespace::anonymous().unwrap();
    let mut wanted = pod_nic(nic, &["10.9.0.7/24", "fd00:9::7/64"]);
    wanted.pod_mac = "02:00:5e:10:00:01".parse().unwrap();
    wanted.routes = vec![
        route("0.0.0.0/0", "10.9.0.1"),
        route("::/0", "fd00:9::1"),
        route("192.0.2.0/24", "198.51.100.1"),
    ];
    configure(&parking, &sandbox, &wanted).await.unwrap();

    let seen = inspect(&sandbox, nic).await.unwrap().unwrap();
    assert_eq!((seen.link.name.as_str(), seen.link.mtu_bytes, seen.link.up), ("eth0", 1400, true));
    assert_eq!(seen.link.mac, Some(HardwareAddress(wanted.pod_mac.bytes())));
    for address in &wanted.addresses {
        assert!(seen.addresses.contains(address), "{address}");
    }
    for route in &wanted.routes {
        assert!(seen.routes.contains(route), "{route:?}");
    }

    let machine = Namespace::anonymous().unwrap();
    fabric.machine("peer", &machine, &["10.9.0.1/24", "fd00:9::1/64"]).await;
    for (there, here) in [("10.9.0.1:7000", "10.9.0.7:0"), ("[fd00:9::1]:7000", "[fd00:9::7]:0")] {
        let receiver = machine.run(move || UdpSocket::bind(there)).await.unwrap().unwrap();
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        let sender = sandbox.run(move || UdpSocket::bind(here)).await.unwrap().unwrap();
        sender.send_to(b"hello", there).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 5);
    }
}

#[tokio::test]
async fn neighbours_hear_of_a_new_owner() {
    let fabric = Fabric::new().await;
    let parking = fabric.parking().await;
    let machine = Namespace::anonymous().unwrap();
    fabric.machine("peer", &machine, &["10.9.0.1/24"]).await;
    // Learns from gratuitous ARP alone, so that nothing else can make the test pass.
    nestless_support::sysctl::write_inside(&machine, "net/ipv4/conf/up0/arp_accept", "1").await.unwrap();
    let nic = fabric.plug(1).await;
    parking.wait_for(nic, PATIENCE).await.unwrap();
    let sandbox = Namespace::anonymous().unwrap();
    configure(&parking, &sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap();
    let mac = nic.to_string();
    let learnt = async {
        loop {
            let table =
                machine.run(|| std::fs::read_to_string("/proc/thread-self/net/arp").unwrap()).await.unwrap();
            if table.lines().any(|line| line.starts_with("10.9.0.7 ") && line.contains(&mac)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, learnt).await.expect("the neighbour never heard of the pod");
}

#[tokio::test]
async fn a_taken_name_changes_nothing() {
    let fabric = Fabric::new().await;
    let parking = fabric.parking().await;
    let nic = fabric.plug(1).await;
    parking.wait_for(nic, PATIENCE).await.unwrap();
    let sandbox = Namespace::anonymous().unwrap();
    let settings = BridgeSettings { stp: false, forward_delay_cs: 0 };
    Netlink::inside(&sandbox).await.unwrap().create_bridge("eth0", None, settings).await.unwrap();
    let before = links(&sandbox).await;

    let error = configure(&parking, &sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap_err();
    assert!(matches!(error, PodNicError::InterfaceExists { .. }), "{error}");
    assert_eq!(links(&sandbox).await, before);
    assert!(parking.free().borrow().contains(&nic));
}

#[tokio::test]
async fn a_failure_half_way_takes_everything_back() {
    let fabric = Fabric::new().await;
    let parking = fabric.parking().await;
    let nic = fabric.plug(1).await;
    parking.wait_for(nic, PATIENCE).await.unwrap();
    let sandbox = Namespace::anonymous().unwrap();
    let mut wanted = pod_nic(nic, &["10.9.0.7/24"]);
    wanted.pod_mac = "02:00:5e:10:00:01".parse().unwrap();
    // The same route twice: the second is refused, when all else stands.
    wanted.routes = vec![route("0.0.0.0/0", "10.9.0.1"), route("0.0.0.0/0", "10.9.0.1")];

    let error = configure(&parking, &sandbox, &wanted).await.unwrap_err();
    assert!(matches!(error, PodNicError::Configure { .. }), "{error}");
    assert_eq!(links(&sandbox).await, []);
    parking.wait_for(nic, PATIENCE).await.unwrap();
    wanted.routes.pop();
    configure(&parking, &sandbox, &wanted).await.unwrap();
}

#[tokio::test]
async fn a_nic_comes_back_whatever_the_pod_did_to_it() {
    let fabric = Fabric::new().await;
    let parking = fabric.parking().await;
    let nic = fabric.plug(1).await;
    parking.wait_for(nic, PATIENCE).await.unwrap();
    let sandbox = Namespace::anonymous().unwrap();
    configure(&parking, &sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap();
    let inside = Netlink::inside(&sandbox).await.unwrap();
    let link = inside.link("eth0").await.unwrap();
    inside.set_down(&link).await.unwrap();
    inside.rename(&link, "mine").await.unwrap();
    inside.set_mac(&link, HardwareAddress([2, 0, 0, 0, 0, 9])).await.unwrap();

    assert!(withdraw(&parking, &sandbox, nic).await.unwrap());
    assert!(!withdraw(&parking, &sandbox, nic).await.unwrap());
    assert_eq!(links(&sandbox).await, []);
    parking.wait_for(nic, PATIENCE).await.unwrap();
    let parked = Namespace::open(fabric.directory.path().join("parking")).unwrap();
    let waiting = links(&parked).await;
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].name.as_str(), waiting[0].up), (parked_name(nic).as_str(), false));
    assert_eq!(waiting[0].mac, Some(HardwareAddress(nic.bytes())));
    let addresses = Netlink::inside(&parked).await.unwrap().addresses().await.unwrap();
    assert_eq!(addresses, []);
}

#[tokio::test]
async fn nics_wait_while_no_agent_runs() {
    let fabric = Fabric::new().await;
    let first = fabric.plug(1).await;
    let parking = fabric.parking().await;
    assert!(parking.free().borrow().contains(&first));
    drop(parking);

    let second = fabric.plug(2).await;
    let parking = fabric.parking().await;
    assert_eq!(parking.free().borrow().iter().copied().collect::<Vec<_>>(), [first, second]);
    assert_eq!(links(&fabric.vm).await, []);
}

#[tokio::test]
async fn a_nic_that_a_dead_sandbox_leaves_is_parked_again() {
    let fabric = Fabric::new().await;
    let parking = fabric.parking().await;
    let nic = fabric.plug(1).await;
    parking.wait_for(nic, PATIENCE).await.unwrap();
    let sandbox = Namespace::anonymous().unwrap();
    let mut wanted = pod_nic(nic, &["10.9.0.7/24"]);
    wanted.pod_mac = "02:00:5e:10:00:01".parse().unwrap();
    configure(&parking, &sandbox, &wanted).await.unwrap();
    // What the kernel does to a virtio NIC of a namespace that dies; a veth, which stands for it here, would be destroyed.
    let inside = Netlink::inside(&sandbox).await.unwrap();
    let link = inside.link("eth0").await.unwrap();
    inside.move_to(&link, &fabric.vm, None).await.unwrap();
    parking.wait_for(nic, PATIENCE).await.unwrap();
    assert_eq!(links(&fabric.vm).await, []);
}

#[tokio::test]
async fn a_nic_that_never_comes_is_told() {
    let fabric = Fabric::new().await;
    let parking = fabric.parking().await;
    let error = parking.wait_for(nic_mac(9), Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ParkingError::Absent { .. }), "{error}");
    let sandbox = Namespace::anonymous().unwrap();
    let error = configure(&parking, &sandbox, &pod_nic(nic_mac(9), &[])).await.unwrap_err();
    assert!(matches!(error, PodNicError::Absent { .. }), "{error}");
}

#[tokio::test]
async fn links_of_others_are_left_alone() {
    let fabric = Fabric::new().await;
    let parking = fabric.parking().await;
    let foreign: Mac = "02:00:00:00:00:01".parse().unwrap();
    fabric.wire("other", "eth7", Some(foreign), &fabric.vm).await;
    // The one that comes after it is parked, so the one before it was looked at.
    let nic = fabric.plug(1).await;
    parking.wait_for(nic, PATIENCE).await.unwrap();
    let left = links(&fabric.vm).await;
    assert_eq!(left.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["eth7"]);
}

#[tokio::test]
async fn the_death_of_a_sandbox_is_told() {
    let fabric = Fabric::new().await;
    let (watch, mut dead) = SandboxWatch::start().unwrap();
    let (first, second) = (Namespace::anonymous().unwrap(), Namespace::anonymous().unwrap());
    let number = watch.number(&first).await.unwrap();
    assert_eq!(watch.number(&first).await.unwrap(), number);
    assert_ne!(watch.number(&second).await.unwrap(), number);
    drop(first);
    let told = tokio::time::timeout(PATIENCE, dead.recv()).await.unwrap();
    assert_eq!(told, Some(number));
    drop(fabric);
}
