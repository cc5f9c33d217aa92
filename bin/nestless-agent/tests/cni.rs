//! The plugin, the agent and a host, end to end.

use crate::world::{Caller, PATIENCE, World};
use nestless_proto::refusal::Reason;
use nestless_support::netns::Namespace;
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path, process::Command};

fn none() -> Value {
    json!({})
}

#[test]
fn a_pod_comes_and_goes() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    let result = world.cni("ADD", "a", Some(&sandbox), none()).ok();
    assert_eq!(result["cniVersion"], "1.1.0");
    assert_eq!(result["interfaces"][0]["name"], "eth0");
    assert_eq!(result["interfaces"][0]["mtu"], 1450);
    assert_eq!(result["interfaces"][0]["sandbox"], sandbox.to_str().unwrap());
    assert_eq!(result["ips"][0], json!({"interface": 0, "address": "10.77.0.3/16", "gateway": "10.77.0.1"}));
    assert_eq!(result["ips"][1]["gateway"], "fd00:77::1");
    assert_eq!(result["dns"]["nameservers"], json!(["10.77.0.1"]));
    let links = world.links_at(&sandbox);
    assert_eq!((links[0].name.as_str(), links[0].up, links[0].mtu_bytes), ("eth0", true, 1450));
    world.host.until("the NIC is confirmed", |state| {
        state.attachments.values().all(|attachment| attachment.in_use)
    });
    assert!(world.host.state().traces[0].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    let pod = world.host.state().attachments.values().next().unwrap().pod.clone().unwrap();
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("shop", "web-0"));

    world.cni("CHECK", "a", Some(&sandbox), json!({"prevResult": result})).ok();
    world.cni("DEL", "a", Some(&sandbox), json!({"prevResult": result})).ok();
    assert_eq!(world.links_at(&sandbox), []);
    assert!(world.host.state().attachments.is_empty());
    world.finish();
}

#[test]
fn results_come_in_the_version_asked_for() {
    let mut world = World::new();
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let container = format!("v{}", version.replace('.', "-"));
        let sandbox = world.sandbox(&container);
        let result = world.cni("ADD", &container, Some(&sandbox), json!({"cniVersion": version})).ok();
        assert_eq!(result["cniVersion"], version);
        assert_eq!(result["ips"][0].get("version").is_some(), version < "1.0.0");
        assert_eq!(result["interfaces"][0].get("mtu").is_some(), version == "1.1.0");
        world.cni("DEL", &container, Some(&sandbox), json!({"cniVersion": version})).ok();
    }
    for version in ["0.3.1", "1.1.0", "0.2.0", "2.0.0"] {
        let versions = world.cni("VERSION", "", None, json!({"cniVersion": version})).ok();
        assert_eq!(versions["supportedVersions"], json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
        assert_eq!(versions["cniVersion"], version);
    }
    world.finish();
}

#[test]
fn the_runtime_may_choose_the_mac_address_and_the_resolver() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    let runtime = json!({"mac": "02:00:5e:10:00:01", "dns": {"servers": ["192.0.2.53"]}});
    let result = world.cni("ADD", "a", Some(&sandbox), json!({"runtimeConfig": runtime})).ok();
    assert_eq!(result["interfaces"][0]["mac"], "02:00:5e:10:00:01");
    assert_eq!(result["dns"]["nameservers"], json!(["192.0.2.53"]));
    assert_eq!(world.links_at(&sandbox)[0].mac.unwrap().to_string(), "02:00:5e:10:00:01");
    world.cni("DEL", "a", None, none()).ok();
    assert_eq!(world.links_at(&sandbox), []);
    world.finish();
}

#[test]
fn a_second_add_is_an_error_and_the_first_unharmed() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    let result = world.cni("ADD", "a", Some(&sandbox), none()).ok();
    assert_eq!(world.cni("ADD", "a", Some(&sandbox), none()).code(), 101);
    // The name is taken in the sandbox, by another container's interface.
    assert_eq!(world.cni("ADD", "b", Some(&sandbox), none()).code(), 100);
    world.cni("CHECK", "a", Some(&sandbox), json!({"prevResult": result})).ok();
    assert_eq!(world.host.state().attachments.len(), 1);
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    world.finish();
}

/// As Multus asks: a second interface, on the same network or on another.
#[test]
fn a_second_interface_takes_nothing_from_the_first() {
    let mut world = World::new();
    let caller = world.caller();
    for (container, network) in [("same", "pods"), ("other", "blue")] {
        let sandbox = world.sandbox(container);
        let call = |interface: &str, command: &str, extra: Value| {
            caller.cni_of(interface, command, container, Some(&sandbox), extra)
        };
        let conf = |interface: &str| json!({"network": if interface == "net1" { network } else { "pods" }});
        let check = |interface: &str, result: &Value| call(interface, "CHECK", json!({"prevResult": result}));
        let mut first = call("eth0", "ADD", conf("eth0")).ok();
        assert!(routes(&first).iter().all(|route| !route.contains("priority") && !route.contains("table")));
        let mut second = call("net1", "ADD", conf("net1")).ok();
        let told = routes(&second);
        // Behind the first one's default routes, and in a table of its own.
        let net = if network == "pods" { 77 } else { 78 };
        for (dst, gw, metric) in
            [("0.0.0.0/0", format!("10.{net}.0.1"), 1), ("::/0", format!("fd00:{net}::1"), 1025)]
        {
            assert!(
                told.contains(&json!({"dst": dst, "gw": gw, "priority": metric}).to_string()),
                "{told:?}"
            );
        }
        assert!(
            told.iter().any(|route| route.contains(&format!("10.{net}.0.0/16")) && route.contains("table"))
        );
        check("eth0", &first).ok();
        check("net1", &second).ok();

        // Each may go and come back, and the other stays as it is.
        call("eth0", "DEL", conf("eth0")).ok();
        check("net1", &second).ok();
        first = call("eth0", "ADD", conf("eth0")).ok();
        check("eth0", &first).ok();
        check("net1", &second).ok();
        call("net1", "DEL", conf("net1")).ok();
        check("eth0", &first).ok();
        second = call("net1", "ADD", conf("net1")).ok();
        for lost in ["ip -4 route del default table", "ip -6 route flush table", "ip rule del table"] {
            let table = told_table(&second);
            inside(&sandbox, &format!("{lost} {table}"));
            assert_eq!(check("net1", &second).code(), 111, "{lost}");
            call("net1", "DEL", conf("net1")).ok();
            second = call("net1", "ADD", conf("net1")).ok();
        }
        check("eth0", &first).ok();
        for interface in ["eth0", "net1", "net1"] {
            call(interface, "DEL", conf(interface)).ok();
        }
        let left = inside(
            &sandbox,
            "ip rule list; ip -6 rule list; ip route list table all; ip -6 route list table all",
        );
        assert!(!left.contains("10.7") && !left.contains("fd00"), "{left}");
    }
    // An older version cannot tell a table or a priority; what it tells is true all the same.
    let sandbox = world.sandbox("old");
    let old = json!({"cniVersion": "1.0.0"});
    let first = caller.cni_of("eth0", "ADD", "old", Some(&sandbox), old.clone()).ok();
    let second = caller.cni_of("net1", "ADD", "old", Some(&sandbox), old).ok();
    assert_eq!((routes(&first).len(), second.get("routes")), (2, None));
    for (interface, result) in [("eth0", first), ("net1", second)] {
        let check = json!({"cniVersion": "1.0.0", "prevResult": result});
        caller.cni_of(interface, "CHECK", "old", Some(&sandbox), check).ok();
        caller.cni_of(interface, "DEL", "old", Some(&sandbox), none()).ok();
    }
    world.finish();
}

fn routes(result: &Value) -> Vec<String> {
    result["routes"].as_array().unwrap().iter().map(ToString::to_string).collect()
}

fn told_table(result: &Value) -> u64 {
    result["routes"].as_array().unwrap().iter().find_map(|route| route["table"].as_u64()).unwrap()
}

/// Runs a line of shell in a sandbox.
fn inside(sandbox: &Path, line: &str) -> String {
    let run = || Command::new("sh").args(["-c", line]).output().unwrap();
    let output = Namespace::open(sandbox).unwrap().run_blocking(run).unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn del_succeeds_whatever_is_left() {
    let mut world = World::new();
    world.cni("DEL", "unknown", None, none()).ok();
    let sandbox = world.sandbox("a");
    world.cni("ADD", "a", Some(&sandbox), none()).ok();
    Namespace::delete(&sandbox).unwrap();
    for _ in 0..3 {
        world.cni("DEL", "a", Some(&sandbox), none()).ok();
    }
    world.cni("DEL", "a", None, none()).ok();
    world.finish();
}

/// A runtime may call DEL for what it never attached, and name any sandbox.
#[test]
fn a_del_takes_nothing_from_another_container() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    let result = world.cni("ADD", "a", Some(&sandbox), none()).ok();
    let is_whole = |world: &World| {
        world.cni("CHECK", "a", Some(&sandbox), json!({"prevResult": result})).ok();
        assert_eq!(world.links_at(&sandbox)[0].name, "eth0");
        assert_eq!(world.host.state().attachments.len(), 1);
    };
    world.cni("DEL", "never", Some(&sandbox), none()).ok();
    is_whole(&world);
    // Nor when nothing is known of the one that it belongs to, until the host has told.
    world.kill_agent();
    std::fs::remove_dir_all(world.run_dir().join("attachments")).unwrap();
    world.host.stop();
    world.start_agent();
    world.cni("DEL", "never", Some(&sandbox), none()).ok();
    let hellos = world.host.state().hellos;
    world.host.start();
    world.host.until("the agent says Hello", |state| state.hellos > hellos);
    world.cni("DEL", "never", Some(&sandbox), none()).ok();
    world.host.until("it is told", |state| state.detached.iter().filter(|key| key.0 == "never").count() >= 2);
    is_whole(&world);
    // One with an interface of its own that names the wrong sandbox loses its own.
    let another = world.sandbox("b");
    world.cni("ADD", "b", Some(&another), none()).ok();
    world.cni("DEL", "b", Some(&sandbox), none()).ok();
    assert_eq!(world.links_at(&another), []);
    is_whole(&world);
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    world.finish();
}

#[test]
fn what_a_pod_calls_its_interface_is_in_nobodys_way() {
    let mut world = World::new();
    let sandboxes = ["a", "b"].map(|name| world.sandbox(name));
    world.host.change(|state| state.keep_plugged = true);
    for (name, sandbox) in ["a", "b"].iter().zip(&sandboxes) {
        world.cni("ADD", name, Some(sandbox), none()).ok();
        inside(sandbox, "ip link property add dev eth0 altname shared");
    }
    for (name, sandbox) in ["a", "b"].iter().zip(&sandboxes) {
        world.cni("DEL", name, Some(sandbox), none()).ok();
        assert_eq!(world.links_at(sandbox), []);
    }
    // A veth that a pod has had is nobody else's: the host hears of it, and unplugs it.
    world.host.until("both are told as spent", |state| state.spent_nics.len() == 2);
    assert!(world.host.state().free_nics.is_empty());
    world.finish();
}

#[test]
fn what_is_no_sandbox_is_refused() {
    let world = World::new();
    let file = world.directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(world.cni("ADD", "a", Some(&file), none()).code(), 4);
    assert_eq!(world.cni("ADD", "a", Some("/absent".as_ref()), none()).code(), 4);
    assert_eq!(world.cni("ADD", "a", Some("/proc/self/ns/mnt".as_ref()), none()).code(), 4);
    let own = format!("/proc/{}/ns/net", world.agent_pid());
    assert_eq!(world.cni("ADD", "a", Some(own.as_ref()), none()).code(), 4);
    assert_eq!(world.cni("ADD", "a", Some(&world.run_dir().join("parking")), none()).code(), 4);
    assert!(world.host.state().traces.is_empty(), "the host was asked");
    world.finish();
}

#[test]
fn a_nic_that_never_shows_up_is_given_back() {
    let mut world = World::with_nic_deadline_ms(3000);
    let sandbox = world.sandbox("a");
    world.host.change(|state| state.plug_nothing = true);
    assert_eq!(world.cni("ADD", "a", Some(&sandbox), none()).code(), 107);
    assert!(world.host.state().attachments.is_empty());
    world.host.change(|state| state.plug_nothing = false);
    world.cni("ADD", "a", Some(&sandbox), none()).ok();
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    world.finish();
}

#[test]
fn the_hosts_reasons_have_their_codes() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    for (reason, code) in [
        (Reason::Invalid, 7),
        (Reason::UnknownNetwork, 102),
        (Reason::NoFreeAddress, 103),
        (Reason::AddressInUse, 104),
        (Reason::MacInUse, 105),
        (Reason::NoCapacity, 106),
        (Reason::VmNotReady, 11),
        (Reason::RateLimited, 11),
        (Reason::Fabric, 108),
    ] {
        world.host.change(|state| state.refuse = Some(reason));
        assert_eq!(world.cni("ADD", "a", Some(&sandbox), none()).code(), code, "{reason:?}");
    }
    assert_eq!(world.links_at(&sandbox), []);
    world.finish();
}

#[test]
fn what_a_busy_host_puts_off_is_told_again() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    world.host.change(|state| state.put_off = 3);
    world.cni("ADD", "a", Some(&sandbox), none()).ok();
    world.host.until("the NIC is confirmed", |state| {
        state.put_off == 0 && state.attachments.values().all(|attachment| attachment.in_use)
    });
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    world.finish();
}

#[test]
fn status_says_whether_an_add_could_be_served() {
    let world = World::new();
    world.cni("STATUS", "", None, none()).ok();
    // No NIC at all, or no address for anybody.
    for (reason, in_use) in [(Reason::NoCapacity, 0), (Reason::NoFreeAddress, 0), (Reason::NoFreeAddress, 3)]
    {
        world.host.change(|state| (state.refuse, state.in_use) = (Some(reason), in_use));
        assert_eq!(world.cni("STATUS", "", None, none()).code(), 50, "{reason:?}");
    }
    // A VM that is full of pods is in order: a kubelet that heard otherwise would drive them away.
    world.host.change(|state| (state.refuse, state.in_use) = (Some(Reason::NoCapacity), 3));
    world.cni("STATUS", "", None, none()).ok();
    world.host.change(|state| state.refuse = None);
    world.host.stop();
    assert_eq!(world.cni("STATUS", "", None, none()).code(), 50);
    world.host.start();
    world.finish();
}

#[test]
fn check_finds_what_differs() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    let result = world.cni("ADD", "a", Some(&sandbox), none()).ok();
    let check = |previous: &Value| world.cni("CHECK", "a", Some(&sandbox), json!({"prevResult": previous}));
    // What a chained plugin adds is its own affair.
    let mut extended = result.clone();
    extended["interfaces"].as_array_mut().unwrap().push(json!({"name": "other0"}));
    check(&extended).ok();
    for (path, value) in
        [("/interfaces/0/mac", json!("02:00:00:00:00:01")), ("/ips/0/address", json!("10.77.9.9/16"))]
    {
        let mut other = result.clone();
        *other.pointer_mut(path).unwrap() = value;
        assert_eq!(check(&other).code(), 111, "{path}");
    }
    world.host.change(|state| state.faults = vec!["the TAP has no bridge".into()]);
    let failure = check(&result);
    assert!(failure.output["msg"].as_str().unwrap().contains("the TAP has no bridge"), "{failure:?}");
    world.host.change(|state| state.faults.clear());
    assert_eq!(world.cni("CHECK", "unknown", Some(&sandbox), json!({"prevResult": result})).code(), 3);
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    world.finish();
}

#[test]
fn gc_ends_those_of_its_network_that_are_not_listed() {
    let mut world = World::new();
    let sandboxes = ["a", "b", "c"].map(|name| world.sandbox(name));
    world.cni("ADD", "a", Some(&sandboxes[0]), none()).ok();
    world.cni("ADD", "b", Some(&sandboxes[1]), none()).ok();
    world.cni("ADD", "c", Some(&sandboxes[2]), json!({"name": "other"})).ok();
    let valid = json!({"cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}]});
    world.cni("GC", "", None, valid.clone()).ok();
    let left: BTreeSet<_> = world.host.state().attachments.keys().map(|key| key.0.clone()).collect();
    assert_eq!(left, ["a", "c"].map(String::from).into());
    assert_eq!(world.links_at(&sandboxes[1]), []);
    world.cni("GC", "", None, valid).ok();
    for (name, sandbox) in ["a", "c"].iter().zip([&sandboxes[0], &sandboxes[2]]) {
        world.cni("DEL", name, Some(sandbox), none()).ok();
    }
    world.finish();
}

#[test]
fn fifty_pods_at_once() {
    let mut world = World::new();
    let pods: Vec<_> = (0..50).map(|n| (format!("pod{n}"), world.sandbox(&format!("pod{n}")))).collect();
    let caller = world.caller();
    let addresses: Vec<String> = std::thread::scope(|scope| {
        let adds: Vec<_> = pods
            .iter()
            .map(|(name, sandbox)| scope.spawn(|| caller.cni("ADD", name, Some(sandbox), none()).ok()))
            .collect();
        adds.into_iter().map(|add| add.join().unwrap()["ips"][0]["address"].to_string()).collect()
    });
    assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 50);
    std::thread::scope(|scope| {
        for (name, sandbox) in &pods {
            scope.spawn(|| caller.cni("DEL", name, Some(sandbox), none()).ok());
        }
    });
    world.finish();
}

#[test]
fn mapped_ports_come_and_go_with_the_pod() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    let ruleset = |world: &World| {
        let list = || Command::new("nft").args(["list", "ruleset"]).output().unwrap().stdout;
        String::from_utf8(world.vm.run_blocking(list).unwrap()).unwrap()
    };
    let mappings = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
    world.cni("ADD", "a", Some(&sandbox), json!({"runtimeConfig": mappings})).ok();
    let mapped = ruleset(&world);
    assert!(mapped.contains("tcp dport 8080 dnat ip to 10.77.0.3:80"), "{mapped}");
    // What a pod that died without an agent leaves, the next agent removes.
    world.kill_agent();
    Namespace::delete(&sandbox).unwrap();
    world.start_agent();
    assert!(!ruleset(&world).contains("dnat"));
    world.host.until("the agent detaches", |state| state.attachments.is_empty());

    let sandbox = world.sandbox("b");
    world.cni("ADD", "b", Some(&sandbox), json!({"runtimeConfig": mappings})).ok();
    world.cni("DEL", "b", Some(&sandbox), none()).ok();
    assert!(!ruleset(&world).contains("dnat"));
    world.finish();
}

#[test]
fn a_configuration_that_is_no_text_is_no_json() {
    for (stdin, words) in [
        (&b"{\"cniVersion\": \"1.1.0\", \"name\": \"\xff\"}"[..], "byte 33 is no UTF-8"),
        (b"\xfe\xff\0{\0}", "byte 0 is no UTF-8"),
        (b"{", "is not JSON"),
        (b"", "is not JSON"),
    ] {
        let failure = Caller::raw("eth0", "ADD", "a", None, stdin);
        assert!(failure.output["msg"].as_str().unwrap().contains(words), "{failure:?}");
        assert_eq!(failure.code(), 6);
    }
}

/// A firewall that starts flushes all rules. CHECK says so until the agent has put them back, which it does unasked.
#[test]
fn ports_come_back_when_somebody_takes_them_away() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    let in_vm = |line: &'static str| {
        let run = || Command::new("sh").args(["-c", line]).output().unwrap().stdout;
        String::from_utf8(world.vm.run_blocking(run).unwrap()).unwrap()
    };
    let ports = json!({"portMappings": [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 8053, "containerPort": 53, "protocol": "udp"},
    ]});
    let result = world.cni("ADD", "a", Some(&sandbox), json!({"runtimeConfig": ports})).ok();
    let check =
        || world.cni("CHECK", "a", Some(&sandbox), json!({"runtimeConfig": ports, "prevResult": result}));
    check().ok();
    for harm in ["nft flush ruleset", "nft delete table inet nestless"] {
        in_vm(harm);
        let begun = std::time::Instant::now();
        while !in_vm("nft list ruleset").contains("udp dport 8053 dnat ip to 10.77.0.3:53") {
            assert!(begun.elapsed() < PATIENCE, "{harm}: the ports stay away");
            // Until they are back, they are missed. The agent may be quicker.
            let told = check();
            assert!(told.success || told.output["msg"].as_str().unwrap().contains("prerouting"), "{told:?}");
        }
        check().ok();
    }
    // What drops everything cannot be undone by rules of ours, and is told.
    in_vm(
        "nft add table ip filter; nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'",
    );
    let told = check();
    assert!(told.output["msg"].as_str().unwrap().contains("ip filter FORWARD"), "{told:?}");
    assert_eq!(told.code(), 111);
    // A pod that goes does not come back.
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    in_vm("nft flush ruleset");
    world.finish();
}

#[test]
fn a_port_leads_to_one_pod() {
    let mut world = World::new();
    let (first, second) = (world.sandbox("first"), world.sandbox("second"));
    let ports = |host_ip: &str, protocol: &str| {
        json!({"runtimeConfig": {"portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": protocol, "hostIP": host_ip},
        ]}})
    };
    world.cni("ADD", "first", Some(&first), ports("", "tcp")).ok();
    for host_ip in ["", "10.0.0.9", "0.0.0.0"] {
        let failure = world.cni("ADD", "second", Some(&second), ports(host_ip, "tcp"));
        assert!(
            failure.output["msg"].as_str().unwrap().contains("8080/tcp leads to first/eth0"),
            "{failure:?}"
        );
        assert_eq!(failure.code(), 118);
    }
    assert_eq!(world.links_at(&second), []);
    assert_eq!(world.host.state().attachments.len(), 1);
    world.cni("ADD", "second", Some(&second), ports("", "udp")).ok();
    world.cni("DEL", "second", Some(&second), none()).ok();
    world.cni("DEL", "first", Some(&first), none()).ok();
    world.cni("ADD", "second", Some(&second), ports("10.0.0.9", "tcp")).ok();
    world.cni("DEL", "second", Some(&second), none()).ok();
    world.finish();
}

#[test]
fn a_port_that_cannot_be_mapped_is_told_in_nfts_words() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    let in_vm = |line: &str| {
        let run = || Command::new("sh").args(["-c", line]).status().unwrap();
        assert!(world.vm.run_blocking(run).unwrap().success(), "{line}");
    };
    // A chain of the name that is no place for address translation.
    in_vm(
        "nft 'add table inet nestless; add chain inet nestless prerouting { type filter hook prerouting priority 0; }'",
    );
    let mappings = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
    let failure = world.cni("ADD", "a", Some(&sandbox), json!({"runtimeConfig": mappings}));
    let details = failure.output["details"].as_str().unwrap();
    assert!(details.starts_with("nft: "), "{failure:?}");
    assert!(details.contains("Error: Could not process rule"), "{failure:?}");
    assert!(details.contains("remove hostPort"), "{failure:?}");
    assert_eq!(failure.code(), 110);
    assert_eq!(world.links_at(&sandbox), []);
    assert!(world.host.state().attachments.is_empty());
    in_vm("nft delete table inet nestless");
    world.cni("ADD", "a", Some(&sandbox), json!({"runtimeConfig": mappings})).ok();
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    world.finish();
}
