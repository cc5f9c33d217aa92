//! NICs between parking and sandboxes, on the real kernel.

use crate::fabric::{Fabric, PATIENCE, Waiting, is_spent, links, nic_mac, pod_nic, route, waiting};
use nestless_guest::{
    identify::parked_name,
    parking::ParkingError,
    pod_nic::{PodNicError, SandboxRoute, configure, inspect, withdraw},
    sandbox_watch::SandboxWatch,
};
use nestless_model::identity::{InterfaceName, Mac};
use nestless_support::{
    netlink::{BridgeSettings, HardwareAddress, Netlink},
    netns::Namespace,
};
use nix::sys::{
    socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt::ReceiveTimeout},
    time::{TimeVal, TimeValLike as _},
};
use std::{
    fs::File,
    io::Read as _,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

/// Whose MAC address a machine has learnt for an IPv4 address.
async fn owner(machine: &Namespace, address: &str) -> Option<Mac> {
    let read = || std::fs::read_to_string("/proc/thread-self/net/arp").unwrap();
    let table = machine.run(read).await.unwrap();
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(address))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// Sends a datagram to `to`, and tells which MAC and IP address it had when it came to `machine`. An unspecified `source`
/// leaves the choice to the kernel.
async fn sent(sandbox: &Namespace, source: &str, machine: &Namespace, to: &str) -> (Mac, String) {
    let (source, to): (IpAddr, SocketAddr) = (source.parse().unwrap(), to.parse().unwrap());
    let flags = SockFlag::SOCK_CLOEXEC;
    let listen = move || socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
    let listener = File::from(machine.run(listen).await.unwrap());
    setsockopt(&listener, ReceiveTimeout, &TimeVal::seconds(20)).unwrap();
    let sender = sandbox.run(move || UdpSocket::bind((source, 0))).await.unwrap().unwrap();
    sender.send_to(b"which way?", to).unwrap();
    let mut frame = [0; 2048];
    loop {
        let length = (&listener).read(&mut frame).unwrap();
        if !frame[..length].ends_with(b"which way?") {
            continue;
        }
        // The Ethernet header has 14 bytes; the source stands 12 bytes into an IPv4 header, and 8 into one of IPv6.
        let from = if to.is_ipv4() {
            IpAddr::from(<[u8; 4]>::try_from(&frame[26..30]).unwrap())
        } else {
            IpAddr::from(<[u8; 16]>::try_from(&frame[22..38]).unwrap())
        };
        return (Mac::new(frame[6..12].try_into().unwrap()).unwrap(), from.to_string());
    }
}

#[tokio::test]
async fn a_nic_is_parked_configured_and_works() {
    let Waiting { fabric, parking, nic, sandbox } = waiting().await;
    assert_eq!(links(&fabric.vm).await, []);

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
        assert!(seen.routes.iter().any(|there| there.route == *route && there.table.is_none()), "{route:?}");
    }
    assert_eq!(seen.ruled, [] as [IpAddr; 0]);

    let machine = Namespace::anonymous().unwrap();
    fabric.machine("peer", &machine, &["10.9.0.1/24", "fd00:9::1/64"]).await;
    for (there, here) in [("10.9.0.1:7000", "10.9.0.7"), ("[fd00:9::1]:7000", "fd00:9::7")] {
        assert_eq!(sent(&sandbox, here, &machine, there).await, (wanted.pod_mac, here.to_owned()));
    }
}

/// Two NICs on one network. Whose frames carry an address is what the host's guard looks at.
#[tokio::test]
async fn a_second_nic_takes_nothing_from_the_first() {
    let Waiting { fabric, parking, nic: first, sandbox } = waiting().await;
    let second = fabric.park(&parking, 2).await;
    let machine = Namespace::anonymous().unwrap();
    // The next hop, and something beyond it.
    let far = ["10.9.0.1/24", "fd00:9::1/64", "192.0.2.1/32", "2001:db8::1/128"];
    fabric.machine("peer", &machine, &far).await;
    let wanted = |nic, interface, addresses: &[&str]| {
        let mut wanted = pod_nic(nic, addresses);
        wanted.interface = InterfaceName::new(interface).unwrap();
        wanted.routes = vec![route("0.0.0.0/0", "10.9.0.1"), route("::/0", "fd00:9::1")];
        wanted
    };
    let first_wanted = wanted(first, "eth0", &["10.9.0.7/24", "fd00:9::7/64"]);
    let second_wanted = wanted(second, "net1", &["10.9.0.8/24", "fd00:9::8/64"]);
    let told = configure(&parking, &sandbox, &first_wanted).await.unwrap().routes;
    assert!(told.iter().all(|route| route.metric.is_none() && route.table.is_none()), "{told:?}");
    let told = configure(&parking, &sandbox, &second_wanted).await.unwrap().routes;
    let seen = inspect(&sandbox, second).await.unwrap().unwrap();
    for route in &told {
        // Of an IPv6 route the kernel tells a metric where none was said.
        let same = |there: &&SandboxRoute| (there.route, there.table) == (route.route, route.table);
        let metrics: Vec<_> = seen.routes.iter().filter(same).map(|there| there.metric).collect();
        assert!(metrics.contains(&route.metric) || metrics == [Some(1024)], "{route:?}: {metrics:?}");
    }
    assert_eq!(seen.ruled, second_wanted.addresses.iter().map(|address| address.addr()).collect::<Vec<_>>());
    let metrics: Vec<_> =
        told.iter().filter(|route| route.table.is_none()).map(|route| route.metric).collect();
    assert_eq!(metrics, [Some(1), Some(1025)]);

    let uses = async |any: &str, nic, own: &str| {
        let near_and_far =
            if any == "::" { ["[fd00:9::1]:7", "[2001:db8::1]:7"] } else { ["10.9.0.1:7", "192.0.2.1:7"] };
        for there in near_and_far {
            for source in [any, own] {
                assert_eq!(
                    sent(&sandbox, source, &machine, there).await,
                    (nic, own.to_owned()),
                    "{source} to {there}"
                );
            }
        }
    };
    uses("0.0.0.0", first, "10.9.0.7").await;
    uses("::", first, "fd00:9::7").await;
    for (own, there) in
        [("10.9.0.8", "192.0.2.1:7"), ("fd00:9::8", "[2001:db8::1]:7"), ("fd00:9::8", "[fd00:9::1]:7")]
    {
        assert_eq!(sent(&sandbox, own, &machine, there).await, (second, own.to_owned()), "{there}");
    }

    // Whichever goes, the other serves all.
    assert!(withdraw(&parking, &sandbox, first).await.unwrap());
    uses("0.0.0.0", second, "10.9.0.8").await;
    uses("::", second, "fd00:9::8").await;
    let first = fabric.park(&parking, 3).await;
    let first_wanted = wanted(first, "eth0", &["10.9.0.7/24", "fd00:9::7/64"]);
    configure(&parking, &sandbox, &first_wanted).await.unwrap();
    uses("0.0.0.0", second, "10.9.0.8").await;
    assert!(withdraw(&parking, &sandbox, second).await.unwrap());
    uses("0.0.0.0", first, "10.9.0.7").await;
    uses("::", first, "fd00:9::7").await;
    assert!(withdraw(&parking, &sandbox, first).await.unwrap());
    let inside = Netlink::inside(&sandbox).await.unwrap();
    assert_eq!(inside.source_rules().await.unwrap(), []);
    assert_eq!(inside.all_routes().await.unwrap(), []);
}

#[tokio::test]
async fn neighbours_hear_of_a_new_owner() {
    let Waiting { fabric, parking, nic, sandbox } = waiting().await;
    let machine = Namespace::anonymous().unwrap();
    fabric.machine("peer", &machine, &["10.9.0.1/24"]).await;
    // Learns from gratuitous ARP alone, so that nothing else can make the test pass.
    nestless_support::sysctl::write_inside(&machine, "net/ipv4/conf/up0/arp_accept", "1").await.unwrap();
    configure(&parking, &sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap();
    let learnt = async {
        while owner(&machine, "10.9.0.7").await != Some(nic) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, learnt).await.expect("the neighbour never heard of the pod");
}

/// Announcements are repeated after a while, when the sandbox may have another NIC with another address.
#[tokio::test]
async fn nothing_is_announced_that_the_sandbox_has_no_more() {
    let Waiting { fabric, parking, nic, sandbox } = waiting().await;
    let next = fabric.park(&parking, 2).await;
    configure(&parking, &sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap();
    withdraw(&parking, &sandbox, nic).await.unwrap();
    // Where they are sent: a bridge whose port has just come up may not have forwarded the first one.
    let listen = || {
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll).unwrap()
    };
    let listener = File::from(sandbox.run(listen).await.unwrap());
    setsockopt(&listener, ReceiveTimeout, &TimeVal::seconds(20)).unwrap();
    configure(&parking, &sandbox, &pod_nic(next, &["10.9.0.8/24"])).await.unwrap();
    // Until the later address has been announced twice, by when the earlier one's turn has passed.
    let announced = tokio::task::spawn_blocking(move || {
        let mut announced = Vec::new();
        let mut frame = [0; 2048];
        while announced.iter().filter(|address| **address == [10, 9, 0, 8]).count() < 2 {
            let length = (&listener).read(&mut frame).unwrap();
            let is_announcement =
                length >= 42 && frame[12..14] == [0x08, 0x06] && frame[28..32] == frame[38..42];
            announced.extend(is_announcement.then(|| <[u8; 4]>::try_from(&frame[28..32]).unwrap()));
        }
        announced
    });
    assert_eq!(announced.await.unwrap(), [[10, 9, 0, 8]; 2]);
}

#[tokio::test]
async fn a_taken_name_changes_nothing() {
    let Waiting { fabric: _fabric, parking, nic, sandbox } = waiting().await;
    let settings = BridgeSettings { stp: false, forward_delay_cs: 0, multicast_snooping: false };
    Netlink::inside(&sandbox).await.unwrap().create_bridge("eth0", None, settings).await.unwrap();
    let before = links(&sandbox).await;

    let error = configure(&parking, &sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap_err();
    assert!(matches!(error, PodNicError::InterfaceExists { .. }), "{error}");
    assert_eq!(links(&sandbox).await, before);
    assert!(parking.waiting().borrow().free.contains(&nic));
}

#[tokio::test]
async fn a_failure_half_way_takes_everything_back() {
    let Waiting { fabric, parking, nic, sandbox } = waiting().await;
    let mut wanted = pod_nic(nic, &["10.9.0.7/24"]);
    wanted.pod_mac = "02:00:5e:10:00:01".parse().unwrap();
    // The same route twice: the second is refused, when all else stands.
    wanted.routes = vec![route("0.0.0.0/0", "10.9.0.1"), route("0.0.0.0/0", "10.9.0.1")];

    let error = configure(&parking, &sandbox, &wanted).await.unwrap_err();
    assert!(matches!(error, PodNicError::Configure { .. }), "{error}");
    assert_eq!(links(&sandbox).await, []);
    // The sandbox has had it.
    is_spent(&parking, nic).await;
    wanted.nic_mac = fabric.park(&parking, 2).await;
    wanted.routes.pop();
    configure(&parking, &sandbox, &wanted).await.unwrap();
}

#[tokio::test]
async fn a_nic_comes_back_whatever_the_pod_did_to_it() {
    let Waiting { fabric, parking, nic, sandbox } = waiting().await;
    configure(&parking, &sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap();
    let inside = Netlink::inside(&sandbox).await.unwrap();
    let link = inside.link("eth0").await.unwrap();
    inside.set_down(&link).await.unwrap();
    inside.rename(&link, "mine").await.unwrap();
    inside.set_mac(&link, HardwareAddress([2, 0, 0, 0, 0, 9])).await.unwrap();

    assert!(withdraw(&parking, &sandbox, nic).await.unwrap());
    assert!(!withdraw(&parking, &sandbox, nic).await.unwrap());
    assert_eq!(links(&sandbox).await, []);
    is_spent(&parking, nic).await;
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
    assert!(parking.waiting().borrow().free.contains(&first));
    drop(parking);

    let second = fabric.plug(2).await;
    let parking = fabric.parking().await;
    assert_eq!(parking.waiting().borrow().free, [first, second].into());
    assert_eq!(links(&fabric.vm).await, []);
}

#[tokio::test]
async fn a_nic_that_a_dead_sandbox_leaves_is_parked_again() {
    let Waiting { fabric, parking, nic, sandbox } = waiting().await;
    let mut wanted = pod_nic(nic, &["10.9.0.7/24"]);
    wanted.pod_mac = "02:00:5e:10:00:01".parse().unwrap();
    configure(&parking, &sandbox, &wanted).await.unwrap();
    // What the kernel does to a virtio NIC of a namespace that dies; a veth, which stands for it here, would be destroyed.
    let inside = Netlink::inside(&sandbox).await.unwrap();
    let link = inside.link("eth0").await.unwrap();
    inside.move_to(&link, &fabric.vm, None).await.unwrap();
    parking.wait_for_return(nic, PATIENCE).await;
    assert_eq!(links(&fabric.vm).await, []);
    is_spent(&parking, nic).await;
}

/// What a pod left on it must meet nobody, and nobody knows all that a pod may leave.
#[tokio::test]
async fn no_nic_serves_two_pods_and_no_agent_forgets_that() {
    let Waiting { fabric, parking, nic, sandbox } = waiting().await;
    configure(&parking, &sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap();
    withdraw(&parking, &sandbox, nic).await.unwrap();
    is_spent(&parking, nic).await;
    let again = configure(&parking, &sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap_err();
    assert!(matches!(again, PodNicError::Absent { .. }), "{again}");
    let never_used = fabric.park(&parking, 2).await;
    drop(parking);
    let parking = fabric.parking().await;
    is_spent(&parking, nic).await;
    assert!(parking.waiting().borrow().free.contains(&never_used));
    // An agent that finds no notes, as after an upgrade from one that took none.
    drop(parking);
    std::fs::remove_dir_all(fabric.directory.path().join("nics")).unwrap();
    let parking = fabric.parking().await;
    for waiting in [nic, never_used] {
        is_spent(&parking, waiting).await;
    }
    // The host unplugs what is told as spent, and is told of it no more.
    fabric.on_host.delete_if_any("nl1").await.unwrap();
    let mut waiting = parking.waiting();
    let forgotten = waiting.wait_for(|now| now.spent == [never_used].into());
    tokio::time::timeout(PATIENCE, forgotten).await.expect("told for ever").unwrap();
}

/// Killed between the sandbox's end, or its own move, and whatever it would have done next.
#[tokio::test]
async fn a_nic_that_an_agent_died_with_is_not_taken_for_new() {
    let Waiting { fabric, parking, nic, sandbox } = waiting().await;
    configure(&parking, &sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap();
    drop(parking);
    // While no agent runs, the NIC comes to the VM's own namespace, and its pod had cleared what we had written on it.
    let inside = Netlink::inside(&sandbox).await.unwrap();
    let link = inside.link("eth0").await.unwrap();
    inside.set_alias(&link, "").await.unwrap();
    inside.move_to(&link, &fabric.vm, None).await.unwrap();
    let parking = fabric.parking().await;
    is_spent(&parking, nic).await;
}

/// Alternative names are as unique in a namespace as names, and go along when a link moves.
#[tokio::test]
async fn names_that_pods_give_their_nics_are_in_nobodys_way() {
    let Waiting { fabric, parking, nic: first, sandbox } = waiting().await;
    let second = fabric.park(&parking, 2).await;
    let third = fabric.park(&parking, 3).await;
    let another = Namespace::anonymous().unwrap();
    for (sandbox, nic, names) in [
        (&sandbox, first, ["shared-by-both".to_owned(), parked_name(third)]),
        (&another, second, ["shared-by-both".to_owned(), "eth0-of-mine".to_owned()]),
    ] {
        configure(&parking, sandbox, &pod_nic(nic, &["10.9.0.7/24"])).await.unwrap();
        for name in names {
            let add = move || {
                let ip = ["link", "property", "add", "dev", "eth0", "altname", &name];
                std::process::Command::new("ip").args(ip).status().unwrap().success()
            };
            assert!(sandbox.run(add).await.unwrap());
        }
    }
    for (sandbox, nic) in [(&sandbox, first), (&another, second)] {
        assert!(withdraw(&parking, sandbox, nic).await.unwrap());
        assert_eq!(links(sandbox).await, []);
    }
    let parked = links(parking.namespace()).await;
    assert_eq!(parked.len(), 3);
    assert!(parked.iter().all(|link| link.alternative_names.is_empty()), "{parked:?}");
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
