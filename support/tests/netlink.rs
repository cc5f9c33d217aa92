//! rtnetlink against the real kernel, in namespaces without a name: whatever a test makes goes with them.

use futures_util::FutureExt as _;
use nestless_support::{
    netlink::{
        AddressGeneration, BridgeSettings, HardwareAddress, Link, LinkEvent, LinkMonitor, Netlink,
        NetlinkError, NewAddress, OperState, Route, SourceRule, VethEnd,
    },
    netns::Namespace,
};

const NO_STP: BridgeSettings = BridgeSettings { stp: false, forward_delay_cs: 0, multicast_snooping: false };

async fn fresh() -> (Namespace, Netlink) {
    let namespace = Namespace::anonymous().unwrap();
    let netlink = Netlink::inside(&namespace).await.unwrap();
    (namespace, netlink)
}

/// A link whose other end is out of sight for as long as the namespace is held. (Not every kernel has link links.)
async fn spare(netlink: &Netlink, name: &str) -> (Namespace, Link) {
    let elsewhere = Namespace::anonymous().unwrap();
    let peer = VethEnd { namespace: Some(elsewhere.clone()), ..VethEnd::named("peer") };
    netlink.create_veth(&VethEnd::named(name), &peer).await.unwrap();
    (elsewhere, netlink.link(name).await.unwrap())
}

fn permanent(address: &str) -> NewAddress {
    NewAddress { address: address.parse().unwrap(), no_duplicate_detection: true }
}

#[tokio::test]
async fn a_bridge_is_what_was_asked_for() {
    let (_namespace, netlink) = fresh().await;
    let mac = HardwareAddress([2, 0, 0, 0, 0, 7]);
    let bridge = netlink.create_bridge("br7", Some(mac), NO_STP).await.unwrap();
    assert_eq!(bridge.kind.as_deref(), Some("bridge"));
    assert_eq!(bridge.mac, Some(mac));
    assert_eq!(bridge.bridge, Some(NO_STP));
    assert!(!bridge.up);

    let slow = BridgeSettings { stp: false, forward_delay_cs: 300, multicast_snooping: true };
    netlink.set_bridge(&bridge, slow).await.unwrap();
    assert_eq!(netlink.link("br7").await.unwrap().bridge, Some(slow));

    let again = netlink.create_bridge("br7", None, NO_STP).await.unwrap_err();
    assert!(again.is_existing(), "{again:?}");
    assert_eq!(again.to_string(), "create bridge br7");
}

#[tokio::test]
async fn every_attribute_can_be_changed_and_is_seen() {
    let (_namespace, netlink) = fresh().await;
    let bridge = netlink.create_bridge("br0", None, NO_STP).await.unwrap();
    let (_peer1, link) = spare(&netlink, "nl3").await;
    netlink.set_mtu(&link, 9000).await.unwrap();
    netlink.set_alias(&link, "vm one").await.unwrap();
    netlink.set_mac(&link, HardwareAddress([0x4e, 0x4c, 0, 0, 0, 3])).await.unwrap();
    netlink.set_address_generation(&link, AddressGeneration::None).await.unwrap();
    netlink.set_master(&link, &bridge).await.unwrap();
    netlink.set_up(&link).await.unwrap();

    let seen = netlink.link("nl3").await.unwrap();
    assert_eq!((seen.mtu_bytes, seen.alias.as_deref(), seen.up), (9000, Some("vm one"), true));
    assert_eq!(seen.master, Some(bridge.index));
    assert_eq!(seen.address_generation, Some(AddressGeneration::None));
    assert_eq!(seen, netlink.link_by_index(link.index).await.unwrap());
    assert_eq!(seen, netlink.link_by_mac(HardwareAddress([0x4e, 0x4c, 0, 0, 0, 3])).await.unwrap());
    assert_eq!(netlink.addresses_of(&seen).await.unwrap(), [], "no link-local address was to be made");

    netlink.clear_master(&link).await.unwrap();
    netlink.set_down(&link).await.unwrap();
    netlink.rename(&link, "nl4").await.unwrap();
    let seen = netlink.link("nl4").await.unwrap();
    assert_eq!((seen.master, seen.up, seen.index), (None, false, link.index));

    netlink.delete(&seen).await.unwrap();
    assert!(netlink.link_if_any("nl4").await.unwrap().is_none());
    netlink.delete_if_any("nl4").await.unwrap();
}

#[tokio::test]
async fn a_refusal_names_operation_and_object() {
    let (_namespace, netlink) = fresh().await;
    let (_peer2, link) = spare(&netlink, "nl3").await;
    let error = netlink.set_mtu(&link, 7).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.errno()), ("set MTU of nl3 to 7", Some(libc::EINVAL)));
    let loopback = netlink.link("lo").await.unwrap();
    let bridge = netlink.create_bridge("br0", None, NO_STP).await.unwrap();
    let error = netlink.set_master(&loopback, &bridge).await.unwrap_err();
    assert_eq!(error.to_string(), "make lo a port of br0");
    assert!(error.errno().is_some());

    netlink.delete(&link).await.unwrap();
    let error = netlink.set_mtu(&link, 1500).await.unwrap_err();
    assert_eq!(error.to_string(), "set MTU of nl3 to 1500");
    assert!(error.is_missing());
    let error = netlink.link("nl3").await.unwrap_err();
    assert_eq!(error.to_string(), "find link nl3");
    assert!(error.is_missing());
}

#[tokio::test]
async fn a_veth_is_born_on_both_sides() {
    let (_here, netlink) = fresh().await;
    let (there, far) = fresh().await;
    let peer = VethEnd {
        mac: Some(HardwareAddress([0x4e, 0x4c, 0, 0, 0, 1])),
        mtu_bytes: Some(1400),
        namespace: Some(there.clone()),
        ..VethEnd::named("eth0")
    };
    netlink.create_veth(&VethEnd { mtu_bytes: Some(1400), ..VethEnd::named("nl1") }, &peer).await.unwrap();
    let end = far.link("eth0").await.unwrap();
    assert_eq!((end.mac, end.mtu_bytes), (peer.mac, 1400));
    far.set_up(&end).await.unwrap();
    let near = netlink.link("nl1").await.unwrap();
    netlink.set_up(&near).await.unwrap();
    assert!(wait_for(&there, |link| link.name == "eth0" && link.oper_state == OperState::Up).await.carrier);

    netlink.delete(&near).await.unwrap();
    assert!(far.link_if_any("eth0").await.unwrap().is_none());
}

#[tokio::test]
async fn a_link_moves_and_is_renamed_on_the_way() {
    let (_here, netlink) = fresh().await;
    let (there, far) = fresh().await;
    let (_peer3, first) = spare(&netlink, "nl1").await;
    netlink.set_up(&first).await.unwrap();
    netlink.move_to(&first, &there, Some("eth0")).await.unwrap();
    assert!(netlink.link_if_any("nl1").await.unwrap().is_none());
    assert!(!far.link("eth0").await.unwrap().up);

    let (_peer4, second) = spare(&netlink, "eth0").await;
    let error = netlink.move_to(&second, &there, None).await.unwrap_err();
    assert!(error.is_existing(), "{error:?}");
}

#[tokio::test]
async fn addresses_come_and_go() {
    let (_namespace, netlink) = fresh().await;
    let (_peer5, link) = spare(&netlink, "d0").await;
    netlink.set_up(&link).await.unwrap();
    for address in ["10.9.0.1/24", "fd00:9::1/64"] {
        netlink.add_address(&link, permanent(address)).await.unwrap();
        assert!(netlink.add_address(&link, permanent(address)).await.unwrap_err().is_existing());
    }
    let found = netlink.addresses_of(&link).await.unwrap();
    let v6 = found.iter().find(|found| found.address.to_string() == "fd00:9::1/64").unwrap();
    assert!(!v6.tentative, "no duplicate detection was wanted");
    assert!(found.iter().any(|found| found.address.to_string() == "10.9.0.1/24"));

    netlink.delete_address(&link, "10.9.0.1/24".parse().unwrap()).await.unwrap();
    let error = netlink.delete_address(&link, "10.9.0.1/24".parse().unwrap()).await.unwrap_err();
    assert!(error.is_missing(), "{error:?}");
    assert_eq!(error.to_string(), "delete address 10.9.0.1/24 of d0");
    netlink.flush_addresses(&link).await.unwrap();
    assert_eq!(netlink.addresses_of(&link).await.unwrap(), []);
}

#[tokio::test]
async fn routes_with_and_without_gateways() {
    let (_namespace, netlink) = fresh().await;
    let (_peer6, link) = spare(&netlink, "d0").await;
    netlink.set_up(&link).await.unwrap();
    netlink.add_address(&link, permanent("10.9.0.2/32")).await.unwrap();
    netlink.add_address(&link, permanent("fd00:9::2/64")).await.unwrap();
    let mut v4 = Route::default_by(link.index, "169.254.1.1".parse().unwrap());
    let refused = netlink.add_route(&v4).await.unwrap_err();
    assert!(refused.to_string().starts_with("add route default by way of 169.254.1.1"), "{refused}");
    v4.on_link = true;
    v4.mtu_bytes = Some(1400);
    let v6 = Route { metric: Some(50), ..Route::default_by(link.index, "fd00:9::1".parse().unwrap()) };
    let direct = Route::through(link.index, "10.77.0.0/16".parse().unwrap());
    for route in [&v4, &v6, &direct] {
        netlink.add_route(route).await.unwrap();
        assert!(netlink.add_route(route).await.unwrap_err().is_existing());
        assert!(netlink.routes().await.unwrap().contains(route), "{route} in {:#?}", netlink.routes().await);
    }
    for route in [&v4, &v6, &direct] {
        netlink.delete_route(route).await.unwrap();
        assert!(netlink.delete_route(route).await.unwrap_err().is_missing());
    }
}

#[tokio::test]
async fn rules_send_a_source_address_to_a_table_of_its_own() {
    let (_namespace, netlink) = fresh().await;
    let (_peer, link) = spare(&netlink, "d0").await;
    netlink.set_up(&link).await.unwrap();
    for (number, address, prefix) in [(1, "10.9.0.2", "10.9.0.0/24"), (2, "fd00:9::2", "fd00:9::/64")] {
        // One number that fits the header, and one that needs the attribute.
        for table in [100 + number, 10_000 + number] {
            let route = Route { table: Some(table), ..Route::through(link.index, prefix.parse().unwrap()) };
            netlink.add_route(&route).await.unwrap();
            let all = netlink.all_routes().await.unwrap();
            assert!(
                all.iter().any(|there| (there.table, there.destination) == (route.table, route.destination))
            );
            assert!(
                netlink.routes().await.unwrap().iter().all(|there| there.destination != route.destination)
            );
            let rule = SourceRule { source: address.parse().unwrap(), table, priority: 10_000 };
            netlink.add_source_rule(rule).await.unwrap();
            assert!(netlink.add_source_rule(rule).await.unwrap_err().is_existing());
            assert_eq!(netlink.source_rules().await.unwrap(), [rule]);
            netlink.delete_source_rule(rule).await.unwrap();
            assert!(netlink.delete_source_rule(rule).await.unwrap_err().is_missing());
            assert_eq!(netlink.source_rules().await.unwrap(), []);
            netlink.delete_route(&route).await.unwrap();
        }
    }
}

#[tokio::test]
async fn learnt_neighbours_are_flushed() {
    let (here, netlink) = fresh().await;
    let (there, far) = fresh().await;
    let peer = VethEnd { namespace: Some(there.clone()), ..VethEnd::named("b") };
    netlink.create_veth(&VethEnd::named("a"), &peer).await.unwrap();
    let (a, b) = (netlink.link("a").await.unwrap(), far.link("b").await.unwrap());
    for (side, link, address) in [(&netlink, &a, "10.9.0.1/24"), (&far, &b, "10.9.0.2/24")] {
        side.add_address(link, permanent(address)).await.unwrap();
        side.set_up(link).await.unwrap();
    }
    let receiver = there.run(|| std::net::UdpSocket::bind("10.9.0.2:7")).await.unwrap().unwrap();
    let sender = here.run(|| std::net::UdpSocket::bind("10.9.0.1:0")).await.unwrap().unwrap();
    sender.send_to(b"who is there", "10.9.0.2:7").unwrap();
    receiver.recv(&mut [0; 16]).unwrap();
    assert_eq!(netlink.flush_neighbours(&a).await.unwrap(), 1);
    assert_eq!(netlink.flush_neighbours(&a).await.unwrap(), 0);
}

#[tokio::test]
async fn the_monitor_misses_nothing() {
    let (namespace, netlink) = fresh().await;
    let (_peer0, _early) = spare(&netlink, "early").await;
    let mut monitor = LinkMonitor::inside(&namespace).await.unwrap();
    // Made after the subscription and before the first listing.
    let (_peer7, between) = spare(&netlink, "between").await;

    let mut names = Vec::new();
    while let LinkEvent::Present(link) = monitor.next().await.unwrap() {
        names.push(link.name);
    }
    assert_eq!(names, ["lo", "early", "between"]);
    assert_eq!(monitor.known().count(), 3);

    netlink.delete(&between).await.unwrap();
    loop {
        match monitor.next().await.unwrap() {
            LinkEvent::Gone(link) => break assert_eq!(link.name, "between"),
            LinkEvent::Present(link) => assert_eq!(link.name, "between"),
            LinkEvent::Listed => panic!("listed twice"),
        }
    }
}

#[tokio::test]
async fn leaving_a_bridge_is_not_going() {
    let (namespace, netlink) = fresh().await;
    let bridge = netlink.create_bridge("br0", None, NO_STP).await.unwrap();
    let (_peer8, port) = spare(&netlink, "port").await;
    netlink.set_master(&port, &bridge).await.unwrap();
    let mut monitor = LinkMonitor::inside(&namespace).await.unwrap();
    while monitor.next().await.unwrap() != LinkEvent::Listed {}
    netlink.clear_master(&port).await.unwrap();
    netlink.delete(&bridge).await.unwrap();
    loop {
        match monitor.next().await.unwrap() {
            LinkEvent::Gone(link) => break assert_eq!(link.name, "br0"),
            LinkEvent::Present(_) | LinkEvent::Listed => {}
        }
    }
    assert!(monitor.known().any(|link| link.name == "port" && link.master.is_none()));
}

#[tokio::test]
async fn a_burst_is_followed_to_its_end() -> Result<(), NetlinkError> {
    let (namespace, netlink) = fresh().await;
    let mut monitor = LinkMonitor::inside(&namespace).await?;
    while monitor.next().await? != LinkEvent::Listed {}
    let (_peer9, link) = spare(&netlink, "d0").await;
    for round in 0..300 {
        netlink.set_mtu(&link, 1500 + round).await?;
    }
    netlink.delete(&link).await?;
    while !matches!(monitor.next().await?, LinkEvent::Gone(link) if link.name == "d0") {}
    assert_eq!(monitor.known().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["lo"]);
    Ok(())
}

#[tokio::test]
async fn listings_may_come_together_and_be_given_up() {
    let (_namespace, netlink) = fresh().await;
    for number in 0..40 {
        netlink.create_bridge(&format!("b{number}"), None, NO_STP).await.unwrap();
    }
    let all = futures_util::future::join_all((0..20).map(|_| netlink.links())).await;
    assert!(all.into_iter().all(|links| links.unwrap().len() == 41));
    for _ in 0..20 {
        // Polled once, so that the request is on its way, and dropped.
        assert!(netlink.links().now_or_never().is_none());
        assert_eq!(netlink.links().await.unwrap().len(), 41);
    }
}

async fn wait_for(namespace: &Namespace, is_it: impl Fn(&Link) -> bool) -> Link {
    let mut monitor = LinkMonitor::inside(namespace).await.unwrap();
    loop {
        if let LinkEvent::Present(link) = monitor.next().await.unwrap()
            && is_it(&link)
        {
            return link;
        }
    }
}
