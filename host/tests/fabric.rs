//! The fabric on the real kernel. Each test is a host of its own: a thread in a namespace without a name, which goes with
//! all that was made in it, however the test ends.

use nestless_host::fabric::{Fabric, FabricError, PlanError};
use nestless_model::{
    identity::{Mtu, NetworkName, NicId},
    network::Network,
};
use nestless_support::{
    netlink::{
        BridgeSettings, HardwareAddress, Link, LinkEvent, LinkMonitor, Netlink, NewAddress, Route, VethEnd,
    },
    netns::Namespace,
    sysctl,
};
use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    time::Duration,
};

const NO_IPV6_ON_NL1: &str = "net/ipv6/conf/nl1/disable_ipv6";

#[derive(serde::Deserialize)]
struct File {
    network: Vec<Network>,
}

const PODS: &str = r#"
    [[network]]
    name = "pods"
    bridge = "br-pods"
    mtu = 1450
    subnets = [{ prefix = "10.88.0.0/16" }, { prefix = "fd00:88::/64" }]
"#;

const CLOSED: &str = r#"
    [[network]]
    name = "closed"
    bridge = "br-closed"
    uplink = "none"
    subnets = [{ prefix = "10.89.0.0/16" }]
"#;

const FLAT: &str = r#"
    [[network]]
    name = "flat"
    bridge = "br-flat"
    uplink = { interface = "eth1" }
    subnets = [{ prefix = "192.0.2.0/24" }, { prefix = "2001:db8:2::/64" }]
"#;

/// Runs a test on a host of its own, given its name space and a channel to it.
fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce(Namespace, Netlink) -> F + Send) {
    let host = Namespace::anonymous().unwrap();
    host.run_blocking(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let netlink = Netlink::here().unwrap();
            let loopback = netlink.link("lo").await.unwrap();
            netlink.set_up(&loopback).await.unwrap();
            test(host.clone(), netlink).await;
        });
    })
    .unwrap();
}

fn fabric(text: &str) -> Fabric {
    Fabric::new("test", toml::from_str::<File>(text).unwrap().network).unwrap()
}

fn network<'a>(fabric: &'a Fabric, name: &str) -> &'a Network {
    fabric.network(&NetworkName::new(name).unwrap()).unwrap()
}

/// Another machine or pod on a wire to the host, with its end called `name`.
async fn wire(host: &Netlink, name: &str, addresses: &[&str]) -> (Namespace, Netlink, Link) {
    let there = Namespace::anonymous().unwrap();
    let far = Netlink::inside(&there).await.unwrap();
    let peer = VethEnd { namespace: Some(there.clone()), ..VethEnd::named("eth0") };
    host.create_veth(&VethEnd::named(name), &peer).await.unwrap();
    let link = far.link("eth0").await.unwrap();
    far.set_up(&link).await.unwrap();
    for address in addresses {
        far.add_address(&link, new(address)).await.unwrap();
    }
    (there, far, link)
}

/// A pod whose NIC joins the network.
async fn pod(fabric: &Fabric, host: &Netlink, id: u32, on: &Network, addresses: &[&str]) -> Namespace {
    let nic = NicId(id).link_name();
    let (pod, netlink, link) = wire(host, nic.as_str(), addresses).await;
    fabric.enslave(&nic, on, "a pod of the test").await.unwrap();
    for subnet in on.subnets.iter().filter(|subnet| has_family(addresses, subnet.next_hop())) {
        netlink.add_route(&Route::default_by(link.index, subnet.next_hop())).await.unwrap();
    }
    pod
}

fn has_family(addresses: &[&str], of: IpAddr) -> bool {
    addresses.iter().any(|address| new(address).address.addr().is_ipv4() == of.is_ipv4())
}

fn new(address: &str) -> NewAddress {
    NewAddress { address: address.parse().unwrap(), no_duplicate_detection: true }
}

async fn listen(at: &Namespace, address: &str) -> UdpSocket {
    let address: IpAddr = address.parse().unwrap();
    let socket = at.run(move || UdpSocket::bind(SocketAddr::new(address, 7))).await.unwrap().unwrap();
    // Only so that a failing test ends.
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// Sends a datagram to a listener and takes the answer; returns who the listener thinks it was.
async fn reach(from: &Namespace, listener: &UdpSocket) -> IpAddr {
    let to = listener.local_addr().unwrap();
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = from.run(move || UdpSocket::bind((any, 0))).await.unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send_to(b"who am I?", to).unwrap();
    let mut buffer = [0; 16];
    let (length, seen) = listener.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"who am I?", "a datagram that was to be dropped arrived first");
    listener.send_to(b"you", seen).unwrap();
    socket.recv(&mut buffer).unwrap();
    seen.ip()
}

async fn names(netlink: &Netlink) -> Vec<String> {
    netlink.links().await.unwrap().into_iter().map(|link| link.name).collect()
}

fn tables() -> String {
    let output = Command::new("nft").args(["list", "tables"]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn pods_of_a_network_reach_each_other() {
    on_a_host(async |_, netlink| {
        let fabric = fabric(PODS);
        fabric.up().await.unwrap();
        let pods = network(&fabric, "pods");
        let one = pod(&fabric, &netlink, 1, pods, &["10.88.0.10/16", "fd00:88::10/64"]).await;
        let two = pod(&fabric, &netlink, 2, pods, &["10.88.0.11/16", "fd00:88::11/64"]).await;
        for (here, there) in [("10.88.0.10", "10.88.0.11"), ("fd00:88::10", "fd00:88::11")] {
            let listener = listen(&two, there).await;
            assert_eq!(reach(&one, &listener).await, here.parse::<IpAddr>().unwrap());
        }

        let state = fabric.observe().await.unwrap();
        assert_eq!(state.drift, [] as [String; 0]);
        assert_eq!(state.bridges[&pods.name].enslaved, 2);
        let nic = &state.links[&NicId(1)];
        assert_eq!((nic.master.as_deref(), nic.up, nic.mtu_bytes), (Some("br-pods"), true, 1450));
        assert_eq!(sysctl::read(NO_IPV6_ON_NL1).unwrap(), "1", "the host must not speak from a port");

        fabric.leave(&nic.link).await.unwrap();
        fabric.leave(&nic.link).await.unwrap();
        let nic = &fabric.observe().await.unwrap().links[&NicId(1)];
        assert_eq!((nic.master.as_deref(), nic.up), (None, false));
        fabric.leave(&NicId(0xdead).link_name()).await.unwrap();
    });
}

#[test]
fn nat_hides_pods_and_a_closed_network_is_not_routed() {
    on_a_host(async |host, netlink| {
        let outer = ["203.0.113.2/24", "2001:db8::2/64"];
        let (outside, far, far_link) = wire(&netlink, "uplink", &outer).await;
        let uplink = netlink.link("uplink").await.unwrap();
        netlink.set_up(&uplink).await.unwrap();
        for address in ["203.0.113.1/24", "2001:db8::1/64"] {
            netlink.add_address(&uplink, new(address)).await.unwrap();
        }
        // The outside knows the way back to pods, so that only the missing translation would show their addresses.
        for (prefix, by) in [("10.88.0.0/15", "203.0.113.1"), ("fd00:88::/64", "2001:db8::1")] {
            let way = Route::through(far_link.index, prefix.parse().unwrap());
            far.add_route(&Route { gateway: Some(by.parse().unwrap()), ..way }).await.unwrap();
        }

        let fabric = fabric(&[PODS, CLOSED].concat());
        fabric.up().await.unwrap();
        let addresses = ["10.88.0.10/16", "fd00:88::10/64"];
        let pod_one = pod(&fabric, &netlink, 1, network(&fabric, "pods"), &addresses).await;
        let shut_in = pod(&fabric, &netlink, 2, network(&fabric, "closed"), &["10.89.0.10/16"]).await;

        let gateway = listen(&host, "10.89.0.1").await;
        assert_eq!(reach(&shut_in, &gateway).await, "10.89.0.10".parse::<IpAddr>().unwrap());
        let listener = listen(&outside, "203.0.113.2").await;
        let stray = shut_in.run(|| UdpSocket::bind("10.89.0.10:0")).await.unwrap().unwrap();
        stray.send_to(b"let me out", "203.0.113.2:7").unwrap();
        assert_eq!(reach(&pod_one, &listener).await, "203.0.113.1".parse::<IpAddr>().unwrap());
        let listener = listen(&outside, "2001:db8::2").await;
        assert_eq!(reach(&pod_one, &listener).await, "2001:db8::1".parse::<IpAddr>().unwrap());

        // The host itself sees pods as they are.
        let on_host = listen(&host, "203.0.113.1").await;
        assert_eq!(reach(&pod_one, &on_host).await, "10.88.0.10".parse::<IpAddr>().unwrap());
    });
}

#[test]
fn pods_stand_on_the_network_of_an_enslaved_nic() {
    on_a_host(async |_, netlink| {
        let (outside, ..) = wire(&netlink, "eth1", &["192.0.2.1/24", "2001:db8:2::1/64"]).await;
        let fabric = fabric(FLAT);
        fabric.up().await.unwrap();
        assert_eq!(fabric.up().await.unwrap(), [] as [String; 0]);
        let addresses = ["192.0.2.10/24", "2001:db8:2::10/64"];
        let pod = pod(&fabric, &netlink, 1, network(&fabric, "flat"), &addresses).await;
        for (here, there) in [("192.0.2.10", "192.0.2.1"), ("2001:db8:2::10", "2001:db8:2::1")] {
            let listener = listen(&outside, there).await;
            assert_eq!(reach(&pod, &listener).await, here.parse::<IpAddr>().unwrap());
        }
        let bridge = netlink.link("br-flat").await.unwrap();
        assert_eq!(netlink.addresses_of(&bridge).await.unwrap(), [], "the host is not on the outer network");

        fabric.down().await.unwrap();
        assert_eq!(netlink.link("eth1").await.unwrap().master, None);
    });
}

#[test]
fn what_came_up_goes_down_and_nothing_is_left() {
    on_a_host(async |_, netlink| {
        let (links, nft) = (names(&netlink).await, tables());
        let made = fabric(&[PODS, CLOSED].concat()).up().await.unwrap();
        assert!(made.contains(&"create bridge br-closed".to_owned()), "{made:?}");

        // As after a restart: nothing is remembered.
        let again = fabric(&[PODS, CLOSED].concat());
        assert_eq!(again.up().await.unwrap(), [] as [String; 0]);
        let done = again.down().await.unwrap();
        assert_eq!(
            done,
            ["delete bridge br-pods", "delete bridge br-closed", "delete nftables table nestless-test"]
        );
        assert_eq!((names(&netlink).await, tables()), (links, nft));
        assert_eq!(again.down().await.unwrap(), [] as [String; 0]);
    });
}

#[test]
fn drift_is_repaired_and_told() {
    on_a_host(async |_, netlink| {
        let fabric = fabric(PODS);
        fabric.up().await.unwrap();
        let bridge = netlink.link("br-pods").await.unwrap();
        netlink.set_mtu(&bridge, 1300).await.unwrap();
        netlink.flush_addresses(&bridge).await.unwrap();
        let flush = ["flush", "chain", "inet", "nestless-test", "postrouting"];
        assert!(Command::new("nft").args(flush).status().unwrap().success());
        assert_eq!(fabric.observe().await.unwrap().drift.len(), 4);
        let done = fabric.up().await.unwrap();
        assert_eq!(
            done[..3],
            [
                "set MTU of br-pods to 1450",
                "add address 10.88.0.1/16 to br-pods",
                "add address fd00:88::1/64 to br-pods"
            ]
        );
        assert!(done[3].starts_with("set nftables table nestless-test: "), "{done:?}");
        assert_eq!(fabric.up().await.unwrap(), [] as [String; 0]);
    });
}

#[test]
fn a_port_that_comes_or_goes_leaves_the_bridge_its_address() {
    on_a_host(async |_, netlink| {
        let fabric = fabric(PODS);
        fabric.up().await.unwrap();
        let before = netlink.link("br-pods").await.unwrap().mac;
        let low = VethEnd { mac: Some(HardwareAddress([0, 0, 0, 0, 0, 1])), ..VethEnd::named("nl1") };
        netlink.create_veth(&low, &VethEnd::named("other")).await.unwrap();
        fabric.enslave(&NicId(1).link_name(), network(&fabric, "pods"), "low").await.unwrap();
        assert_eq!(netlink.link("br-pods").await.unwrap().mac, before);
    });
}

#[test]
fn a_port_of_no_bridge_is_up_and_silent() {
    on_a_host(async |_, netlink| {
        let (fabric, nic) = (fabric(PODS), NicId(1).link_name());
        fabric.up().await.unwrap();
        // Held, or the kernel would take the wire away with its other end.
        let _there = wire(&netlink, nic.as_str(), &[]).await;
        fabric.enslave(&nic, network(&fabric, "pods"), "joined").await.unwrap();
        sysctl::write(NO_IPV6_ON_NL1, "0").unwrap();
        let mtu = Mtu::new(9000).unwrap();
        for _ in 0..2 {
            fabric.isolate(&nic, mtu, "alone").await.unwrap();
            let seen = &fabric.observe().await.unwrap().links[&NicId(1)];
            assert_eq!((seen.master.as_deref(), seen.up, seen.mtu_bytes), (None, true, 9000));
            assert_eq!(sysctl::read(NO_IPV6_ON_NL1).unwrap(), "1", "the host must not speak to a fraction");
        }
    });
}

#[test]
fn what_is_someone_elses_is_refused_and_left_alone() {
    on_a_host(async |_, netlink| {
        netlink.create_veth(&VethEnd::named("br-pods"), &VethEnd::named("other")).await.unwrap();
        let links = names(&netlink).await;
        let error = fabric(&[CLOSED, PODS].concat()).up().await.unwrap_err();
        assert!(matches!(error, FabricError::Plan { source: PlanError::NotABridge { .. } }), "{error:?}");
        assert_eq!(names(&netlink).await, links, "nothing may be changed");
        let error = fabric(FLAT).up().await.unwrap_err();
        assert!(matches!(error, FabricError::Plan { source: PlanError::NoUplink { .. } }), "{error:?}");

        let fabric = fabric(CLOSED);
        let error =
            fabric.enslave(&NicId(1).link_name(), network(&fabric, "closed"), "early").await.unwrap_err();
        assert!(error.to_string().starts_with("bridge br-closed of the network does not exist"), "{error}");
        fabric.up().await.unwrap();
        let error =
            fabric.enslave(&NicId(1).link_name(), network(&fabric, "closed"), "none").await.unwrap_err();
        assert_eq!(error.to_string(), "join nl1 to br-closed");
    });
}

/// Another link has the subnet, by an address and by a route: neither is touched, and the link is named.
#[test]
fn a_subnet_that_is_another_link_s_is_refused() {
    on_a_host(async |_, netlink| {
        let fabric = fabric(PODS);
        fabric.check().await.unwrap();
        let podman = netlink.create_bridge(
            "podman0",
            None,
            BridgeSettings { stp: false, forward_delay_cs: 0, multicast_snooping: false },
        );
        let podman = podman.await.unwrap();
        netlink.set_up(&podman).await.unwrap();
        netlink.add_address(&podman, new("10.88.0.1/16")).await.unwrap();
        netlink.add_route(&Route::through(podman.index, "fd00:88::/60".parse().unwrap())).await.unwrap();
        let FabricError::Clashes { clashes } = fabric.check().await.unwrap_err() else { panic!() };
        assert_eq!(clashes.len(), 2);
        for words in [
            "overlaps 10.88.0.1/16, an address of podman0",
            "overlaps the route to fd00:88::/60 through podman0",
        ] {
            assert!(
                clashes.iter().any(|clash| clash.to_string().contains(words)),
                "no {words} in {clashes:?}"
            );
        }
        netlink.delete(&podman).await.unwrap();
        fabric.check().await.unwrap();
        fabric.up().await.unwrap();
        fabric.check().await.unwrap();
    });
}

/// What a host has set for its own links stays as it is.
#[test]
fn settings_of_other_links_stay() {
    on_a_host(async |_, netlink| {
        let (_there, ..) = wire(&netlink, "uplink", &[]).await;
        sysctl::write("net/ipv6/conf/all/forwarding", "0").unwrap();
        let key = "net/ipv6/conf/uplink/accept_ra";
        sysctl::write(key, "1").unwrap();
        fabric(PODS).up().await.unwrap();
        assert_eq!(sysctl::read(key).unwrap(), "1");
        assert_eq!(sysctl::read("net/ipv6/conf/all/forwarding").unwrap(), "1");
    });
}

#[test]
fn a_network_that_cannot_be_is_refused_at_once() {
    on_a_host(async |_, _| {
        let twice = toml::from_str::<File>(&[PODS, PODS].concat()).unwrap().network;
        assert!(matches!(Fabric::new("test", twice), Err(FabricError::Networks { .. })));
        assert!(matches!(Fabric::new("a/b", Vec::new()), Err(FabricError::Instance { .. })));
    });
}

#[test]
fn the_monitor_sees_a_nic_join() {
    on_a_host(async |host, netlink| {
        let fabric = fabric(PODS);
        fabric.up().await.unwrap();
        let bridge = netlink.link("br-pods").await.unwrap().index;
        let mut monitor = LinkMonitor::inside(&host).await.unwrap();
        pod(&fabric, &netlink, 3, network(&fabric, "pods"), &[]).await;
        loop {
            if let LinkEvent::Present(link) = monitor.next().await.unwrap()
                && (link.name.as_str(), link.master, link.up) == ("nl3", Some(bridge), true)
            {
                break;
            }
        }
    });
}
