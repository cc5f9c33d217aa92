//! Plans as readable text: which steps a host in a given state needs.

use super::{Desired, Observed, PlanError, clashes, plan_down, plan_up};
use insta::assert_snapshot;
use nestless_model::network::{Network, check};
use nestless_support::netlink::{Address, BridgeSettings, HardwareAddress, Link, OperState, Route};

#[derive(serde::Deserialize)]
struct File {
    network: Vec<Network>,
}

const NAT: &str = r#"
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
    subnets = [{ prefix = "192.0.2.0/24" }]
"#;

fn desired(text: &str) -> Desired {
    let networks = toml::from_str::<File>(text).unwrap().network;
    check(&networks).unwrap();
    Desired { instance: "one".into(), networks }
}

/// A host on which nothing of ours is yet: loopback, and two NICs of which the first carries the host.
fn fresh_host() -> Observed {
    let mut host = Observed {
        links: vec![link(1, "lo"), link(2, "eth0"), link(3, "eth1")],
        addresses: vec![address(2, "198.51.100.4/24"), address(3, "fe80::3/64")],
        ..Observed::default()
    };
    for (key, value) in [
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv6/conf/all/forwarding", "0"),
        ("net/ipv6/conf/eth0/accept_ra", "1"),
        ("net/ipv6/conf/eth1/accept_ra", "0"),
    ] {
        host.sysctls.insert(key.into(), value.into());
    }
    host
}

fn link(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.into(),
        kind: None,
        mac: Some(HardwareAddress([2, 0, 0, 0, 0, index as u8])),
        permanent_mac: None,
        mtu_bytes: 1500,
        up: true,
        carrier: true,
        oper_state: OperState::Up,
        master: None,
        lower: None,
        lower_namespace: None,
        alias: None,
        alternative_names: Vec::new(),
        device: None,
        address_generation: None,
        bridge: None,
        loopback: name == "lo",
    }
}

fn bridge(index: u32, name: &str) -> Link {
    let settings = BridgeSettings { stp: false, forward_delay_cs: 0, multicast_snooping: false };
    Link { kind: Some("bridge".into()), bridge: Some(settings), ..link(index, name) }
}

fn address(link: u32, text: &str) -> Address {
    let address: ipnet::IpNet = text.parse().unwrap();
    let link_local = text.starts_with("fe80");
    Address { link, address, link_local, tentative: false, duplicate: false }
}

/// What the kernel would show after the steps: enough of it for another plan.
fn after(mut host: Observed, desired: &Desired) -> Observed {
    use super::FabricStep as Step;
    for step in plan_up(desired, &host).unwrap() {
        let index =
            |host: &Observed, name: &str| host.links.iter().position(|link| link.name == name).unwrap();
        match step {
            Step::CreateBridge { bridge: name, mac } => {
                let mut made = bridge(10 + host.links.len() as u32, name.as_str());
                made.up = false;
                made.mac = Some(HardwareAddress(mac));
                host.links.push(made);
            }
            Step::SetSysctl { key, value } => {
                host.sysctls.insert(key, value.into());
            }
            Step::SetMtu { link, mtu } => {
                let at = index(&host, link.as_str());
                host.links[at].mtu_bytes = mtu.bytes();
            }
            Step::SetUp { link } => {
                let at = index(&host, link.as_str());
                host.links[at].up = true;
            }
            Step::AddAddress { bridge, address } => {
                let link = host.links[index(&host, bridge.as_str())].index;
                host.addresses.push(self::address(link, &address.to_string()));
            }
            Step::RemoveAddress { address, .. } => host.addresses.retain(|found| found.address != address),
            Step::Enslave { link, bridge } => {
                let master = host.links[index(&host, bridge.as_str())].index;
                let at = index(&host, link.as_str());
                host.links[at].master = Some(master);
            }
            Step::DeleteBridge { bridge } => host.links.retain(|link| link.name != bridge.as_str()),
            Step::SetRules { rules, .. } => {
                host.rules = Some(rules.iter().map(|rule| rule.to_string()).collect());
            }
            Step::ForwardAtOnce { .. } | Step::DeleteRules { .. } => {}
        }
    }
    host
}

fn text(steps: &[super::FabricStep]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}

fn up(desired: &Desired, host: &Observed) -> String {
    text(&plan_up(desired, host).unwrap())
}

#[test]
fn a_fresh_host() {
    assert_snapshot!(up(&desired(NAT), &fresh_host()), @"
    create bridge br-pods
    set net/ipv4/conf/br-pods/arp_ignore to 1
    set net/ipv6/conf/br-pods/accept_ra to 0
    set net/ipv6/conf/br-pods/disable_ipv6 to 0
    set MTU of br-pods to 1450
    set br-pods up
    add address 10.88.0.1/16 to br-pods
    add address fd00:88::1/64 to br-pods
    set nftables table nestless-one: keep sources towards 10.88.0.0/16; keep sources towards fd00:88::/64; masquerade 10.88.0.0/16 beyond br-pods; masquerade fd00:88::/64 beyond br-pods
    set net/ipv4/ip_forward to 1
    set net/ipv6/conf/all/forwarding to 1
    ");
    assert_snapshot!(up(&desired(CLOSED), &fresh_host()), @"
    create bridge br-closed
    set net/ipv4/conf/br-closed/arp_ignore to 1
    set net/ipv6/conf/br-closed/accept_ra to 0
    set net/ipv6/conf/br-closed/disable_ipv6 to 1
    set MTU of br-closed to 1500
    set br-closed up
    add address 10.89.0.1/16 to br-closed
    set nftables table nestless-one: route nothing out of br-closed; route nothing into br-closed
    ");
    assert_snapshot!(up(&desired(FLAT), &fresh_host()), @"
    create bridge br-flat
    set net/ipv4/conf/br-flat/arp_ignore to 1
    set net/ipv6/conf/br-flat/accept_ra to 0
    set net/ipv6/conf/br-flat/disable_ipv6 to 1
    set MTU of br-flat to 1500
    set br-flat up
    make eth1 a port of br-flat
    set nftables table nestless-one: route nothing out of br-flat; route nothing into br-flat
    ");
}

#[test]
fn nothing_is_done_twice() {
    let all = desired(&[NAT, CLOSED, FLAT].concat());
    assert_eq!(up(&all, &after(fresh_host(), &all)), "");
}

#[test]
fn rules_come_before_forwarding() {
    let plan = up(&desired(&[NAT, CLOSED].concat()), &fresh_host());
    let at = |what: &str| plan.find(what).unwrap();
    assert!(at("set nftables table") < at("set net/ipv4/ip_forward"));
    assert!(at("set net/ipv4/ip_forward") < at("set net/ipv6/conf/all/forwarding"));
}

/// Neither is its route taken from the host, nor another's setting changed behind its back.
#[test]
fn a_host_that_listens_to_routers_is_not_made_deaf() {
    let mut host = fresh_host();
    let route = Route { advertised: true, ..Route::default_by(2, "fe80::1".parse().unwrap()) };
    host.routes = vec![route];
    assert_snapshot!(refusal(NAT, &host), @"network pods: the host's IPv6 route through eth0 comes from router advertisements, which a host that forwards ignores: set net.ipv6.conf.eth0.accept_ra to 2 first");
    let needs_none = NAT.replace(", { prefix = \"fd00:88::/64\" }", "");
    assert!(!up(&desired(&needs_none), &host).contains("ipv6/conf/all/forwarding"));
    host.sysctls.insert("net/ipv6/conf/eth0/accept_ra".into(), "2".into());
    assert!(up(&desired(NAT), &host).ends_with("set net/ipv6/conf/all/forwarding to 1\n"));
}

fn clash(text: &str, host: &Observed) -> String {
    clashes(&desired(text), host).iter().map(|clash| format!("{clash}\n")).collect()
}

/// podman's default, a VPN's route, a larger and a smaller prefix, either family.
#[test]
fn subnets_of_others_are_named_with_whose_they_are() {
    assert_eq!(clash(&[NAT, CLOSED, FLAT].concat(), &fresh_host()), "");
    let mut host = fresh_host();
    host.links.extend([bridge(7, "podman0"), link(8, "tun0")]);
    host.addresses.extend([address(7, "10.88.0.1/16"), address(8, "fd00:88::9/128")]);
    let connected = Route::through(7, "10.88.0.0/16".parse().unwrap());
    let vpn = Route::through(8, "10.89.4.0/24".parse().unwrap());
    let larger = Route {
        gateway: Some("198.51.100.1".parse().unwrap()),
        ..Route::through(2, "10.0.0.0/8".parse().unwrap())
    };
    let everything = Route::default_by(2, "198.51.100.1".parse().unwrap());
    // A VPN's way to say "everything".
    let halves = ["0.0.0.0/1", "128.0.0.0/1"].map(|half| Route::through(8, half.parse().unwrap()));
    host.routes = vec![connected, vpn, everything];
    host.routes.extend(halves);
    assert_snapshot!(clash(&[NAT, CLOSED].concat(), &host), @"
    network pods: `prefix` 10.88.0.0/16 overlaps 10.88.0.1/16, an address of podman0: choose another prefix, or name 10.88.0.0/16 in `may_overlap`
    network pods: `prefix` fd00:88::/64 overlaps fd00:88::9/128, an address of tun0: choose another prefix, or name fd00:88::9/128 in `may_overlap`
    network closed: `prefix` 10.89.0.0/16 overlaps the route to 10.89.4.0/24 through tun0: choose another prefix, or name 10.89.4.0/24 in `may_overlap`
    ");
    host = fresh_host();
    host.routes = vec![larger];
    assert_snapshot!(clash(NAT, &host), @"network pods: `prefix` 10.88.0.0/16 overlaps the route to 10.0.0.0/8 through eth0: choose another prefix, or name 10.0.0.0/8 in `may_overlap`");
    let meant = NAT.replace("mtu = 1450", "mtu = 1450\n    may_overlap = [\"10.0.0.0/8\"]");
    assert_eq!(clash(&meant, &host), "");
}

#[test]
fn what_is_ours_is_in_nobody_s_way() {
    let both = desired(&[NAT, CLOSED].concat());
    let mut host = after(fresh_host(), &both);
    let index = host.links.iter().find(|link| link.name == "br-pods").unwrap().index;
    host.routes = vec![Route::through(index, "10.88.0.0/16".parse().unwrap())];
    assert_eq!(clashes(&both, &host), []);
    // A bridge that the configuration called otherwise until now; and one of the operator's, which the configuration names.
    assert_eq!(clash(&NAT.replace("br-pods", "br-new"), &host), "");
    let other = Desired { instance: "two".into(), ..desired(NAT) };
    assert_eq!(clashes(&other, &host), []);
    // Another daemon's, under another name.
    let other = Desired { instance: "two".into(), ..desired(&NAT.replace("br-pods", "br-new")) };
    assert_eq!(clashes(&other, &host).len(), 2);
    // On an outer network the host may well have an address of its own.
    let mut host = fresh_host();
    host.addresses.push(address(2, "192.0.2.4/24"));
    assert_eq!(clash(FLAT, &host), "");
}

#[test]
fn drift_is_repaired() {
    let wanted = desired(NAT);
    let mut host = after(fresh_host(), &wanted);
    let at = host.links.iter().position(|link| link.name == "br-pods").unwrap();
    let index = host.links[at].index;
    host.links[at].mtu_bytes = 9000;
    host.links[at].up = false;
    host.links[at].bridge =
        Some(BridgeSettings { stp: true, forward_delay_cs: 1500, multicast_snooping: true });
    host.addresses.retain(|found| found.link != index);
    host.addresses.push(address(index, "10.88.0.254/16"));
    host.addresses.push(address(index, "fe80::1/64"));
    host.rules.as_mut().unwrap().pop();
    assert_snapshot!(up(&wanted, &host), @"
    turn STP, forward delay and multicast snooping of br-pods off
    set MTU of br-pods to 1450
    set br-pods up
    remove address 10.88.0.254/16 from br-pods
    add address 10.88.0.1/16 to br-pods
    add address fd00:88::1/64 to br-pods
    set nftables table nestless-one: keep sources towards 10.88.0.0/16; keep sources towards fd00:88::/64; masquerade 10.88.0.0/16 beyond br-pods; masquerade fd00:88::/64 beyond br-pods
    ");
}

/// As former versions made them.
#[test]
fn a_bridge_that_snoops_on_multicast_is_told_not_to() {
    let wanted = desired(NAT);
    let mut host = after(fresh_host(), &wanted);
    for link in host.links.iter_mut().filter(|link| link.bridge.is_some()) {
        link.bridge = Some(BridgeSettings { stp: false, forward_delay_cs: 0, multicast_snooping: true });
    }
    assert_snapshot!(up(&wanted, &host), @"turn STP, forward delay and multicast snooping of br-pods off");
}

#[test]
fn a_bridge_of_the_operators_is_used_and_left() {
    let wanted = desired(NAT);
    let mut host = fresh_host();
    host.links.push(Link {
        bridge: Some(BridgeSettings { stp: true, forward_delay_cs: 1500, multicast_snooping: true }),
        ..bridge(7, "br-pods")
    });
    host.addresses.push(address(7, "203.0.113.9/24"));
    let plan = up(&wanted, &host);
    assert!(!plan.contains("create") && !plan.contains("STP") && !plan.contains("203.0.113.9"), "{plan}");
    assert_snapshot!(text(&plan_down(&wanted, &after(host, &wanted))), @"delete nftables table nestless-one");
}

#[test]
fn a_network_that_is_configured_no_more() {
    let both = desired(&[NAT, CLOSED].concat());
    let mut host = after(fresh_host(), &both);
    assert_snapshot!(up(&desired(NAT), &host), @"
    delete bridge br-closed
    set nftables table nestless-one: keep sources towards 10.88.0.0/16; keep sources towards fd00:88::/64; masquerade 10.88.0.0/16 beyond br-pods; masquerade fd00:88::/64 beyond br-pods
    ");
    let closed = host.links.iter().find(|link| link.name == "br-closed").unwrap().index;
    host.links.push(Link { master: Some(closed), ..link(40, "nl5") });
    assert_eq!(up(&desired(NAT), &host), "", "a pod is still on it, and still routed nowhere");
}

#[test]
fn a_bridge_that_was_renamed_lets_go_of_its_addresses_before_its_pods() {
    let mut host = after(fresh_host(), &desired(NAT));
    let old = host.links.iter().find(|link| link.name == "br-pods").unwrap().index;
    host.links.push(Link { master: Some(old), ..link(40, "nl5") });
    let plan = up(&desired(&NAT.replace("br-pods", "br-new")), &host);
    assert!(
        plan.contains("remove address 10.88.0.1/16 from br-pods\nremove address fd00:88::1/64 from br-pods"),
        "{plan}"
    );
    assert!(plan.contains("add address 10.88.0.1/16 to br-new") && !plan.contains("delete bridge"), "{plan}");
}

#[test]
fn down_takes_what_is_ours() {
    let all = desired(&[NAT, CLOSED, FLAT].concat());
    let host = after(fresh_host(), &all);
    assert_snapshot!(text(&plan_down(&all, &host)), @"
    delete bridge br-pods
    delete bridge br-closed
    delete bridge br-flat
    delete nftables table nestless-one
    ");
    let other = Desired { instance: "two".into(), ..all };
    assert!(!text(&plan_down(&other, &host)).contains("bridge"), "these are another daemon's");
    assert_eq!(text(&plan_down(&other, &fresh_host())), "");
}

fn refusal(text: &str, host: &Observed) -> String {
    plan_up(&desired(text), host).unwrap_err().to_string()
}

#[test]
fn someone_elses_link_is_in_the_way() {
    let mut host = fresh_host();
    host.links.push(Link { kind: Some("vxlan".into()), ..link(9, "br-pods") });
    assert_snapshot!(refusal(NAT, &host), @"network pods: br-pods exists and is a vxlan, not a bridge: rename it, or choose another `bridge`");
}

#[test]
fn an_uplink_that_cannot_be_had() {
    let mut host = fresh_host();
    host.links.push(bridge(9, "docker0"));
    host.links[2].master = Some(9);
    assert_snapshot!(refusal(FLAT, &host), @"network flat: `uplink` interface eth1 is a port of docker0 already: take it out there first (ip link set eth1 nomaster)");
    let mut host = fresh_host();
    host.addresses.push(address(3, "192.0.2.4/24"));
    assert_snapshot!(refusal(FLAT, &host), @"network flat: `uplink` interface eth1 has the host's address 192.0.2.4/24, which would stop working: move it to another link first");
    host.links.remove(2);
    assert_snapshot!(refusal(FLAT, &host), @"network flat: `uplink` interface eth1 does not exist on this host");
    assert!(matches!(plan_up(&desired(FLAT), &host), Err(PlanError::NoUplink { .. })));
}

#[test]
fn a_host_without_ipv6_is_not_asked_for_it() {
    let mut host = fresh_host();
    host.sysctls.retain(|key, _| !key.contains("ipv6"));
    assert!(!up(&desired(CLOSED), &host).contains("ipv6"));
}
