//! What runtimes send, and what they are answered.

use super::*;
use crate::{port_mapping::Protocol, refusal::Reason};
use proptest::prelude::*;
use serde_json::{Value, json};

fn environment(command: &str) -> Environment {
    [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", "/run/netns/c1"),
        ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=u;K8S_POD_INFRA_CONTAINER_ID=c1;X=y"),
        ("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("HOME", "/root"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .collect()
}

fn conf(extra: Value) -> String {
    let mut conf = json!({"cniVersion": "1.1.0", "name": "pods", "type": "nestless-cni"});
    conf.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    conf.to_string()
}

fn refusal(command: &str, extra: Value) -> CniError {
    parse_request(&environment(command), &conf(extra)).unwrap_err()
}

#[test]
fn reads_a_whole_add() {
    let stdin = conf(json!({
        "network": "blue",
        "agentSocket": "/tmp/a.sock",
        "example.com/key": {"any": ["thing"]},
        "capabilities": {"mac": true},
        "dns": {"nameservers": ["10.0.0.1"], "search": ["svc"]},
        "runtimeConfig": {
            "ips": ["10.78.0.7/16", "fd00::7"],
            "mac": "02:00:5e:10:00:01",
            "bandwidth": {"ingressRate": 1000, "ingressBurst": 2000, "egressRate": 0, "egressBurst": 0},
            "portMappings": [
                {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
                {"hostPort": 53, "containerPort": 53, "protocol": "UDP", "hostIP": "192.0.2.1"},
            ],
            "dns": {"servers": ["10.0.0.2"], "searches": ["a.b"]},
            "cgroupPath": "/x",
        },
    }));
    let Ok(Request::Add(add)) = parse_request(&environment("ADD"), &stdin) else { panic!("not an ADD") };
    assert_eq!(add.attachment.to_string(), "c1/eth0");
    assert_eq!(add.sandbox, "/run/netns/c1");
    assert_eq!(
        (add.pod.namespace.as_str(), add.pod.name.as_str(), add.pod.uid.as_str()),
        ("shop", "web-0", "u")
    );
    assert_eq!(add.conf.network.as_ref().unwrap().as_str(), "blue");
    let runtime = &add.conf.runtime;
    assert_eq!(runtime.ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.78.0.7/16", "fd00::7"]);
    assert_eq!(runtime.bandwidth.ingress.unwrap().burst_bits, 2000);
    assert_eq!(runtime.bandwidth.egress, None);
    assert_eq!(runtime.port_mappings.len(), 2);
    assert_eq!(runtime.port_mappings[1].protocol, Protocol::Udp);
    assert_eq!(runtime.dns.as_ref().unwrap().nameservers, ["10.0.0.2"]);
    assert!(environment("ADD").trace().parent.is_some());
    assert!(environment("ADD").get("HOME").is_none());
}

#[test]
fn an_error_names_the_key_and_what_was_expected() {
    for (extra, code, words) in [
        (json!({"cniVersion": "9.9"}), 1, "cniVersion \"9.9\""),
        (json!({"cniVersion": 1}), 7, "cniVersion is 1"),
        (json!({"name": null}), 7, "name is missing"),
        (json!({"network": "two words"}), 7, "network is \"two words\""),
        (json!({"agentSocket": "relative"}), 7, "agentSocket is \"relative\": expected an absolute path"),
        (json!({"ipam": {"type": "host-local"}}), 2, "ipam.type is \"host-local\""),
        (json!({"runtimeConfig": {"mac": "ff:ff:ff:ff:ff:ff"}}), 7, "runtimeConfig.mac is"),
        (json!({"runtimeConfig": {"ips": ["10.0.0.256"]}}), 7, "runtimeConfig.ips[0] is \"10.0.0.256\""),
        (
            json!({"runtimeConfig": {"bandwidth": {"ingressRate": -1}}}),
            7,
            "runtimeConfig.bandwidth.ingressRate is -1",
        ),
        (json!({"runtimeConfig": {"bandwidth": {"egressRate": 8}}}), 7, "egressBurst above 0"),
        (
            json!({"runtimeConfig": {"portMappings": [{"hostPort": 1}]}}),
            7,
            "runtimeConfig.portMappings[0].containerPort is missing",
        ),
        (
            json!({"runtimeConfig": {"portMappings": [{"hostPort": 0, "containerPort": 80}]}}),
            7,
            "portMappings[0].hostPort is 0: expected a port number between 1 and 65535",
        ),
        (
            json!({"runtimeConfig": {"portMappings": [{"containerPort": 80}]}}),
            7,
            "portMappings[0].hostPort is missing",
        ),
        (
            json!({"runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 0}]}}),
            7,
            "portMappings[0].containerPort is 0",
        ),
        (
            json!({"runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 1, "protocol": "SCTP"}]}}),
            2,
            "only \"tcp\" and \"udp\" ports can be mapped",
        ),
        (
            json!({"runtimeConfig": {"portMappings": [
                {"hostPort": 1, "containerPort": 1}, {"hostPort": 1, "containerPort": 2, "hostIP": "10.0.0.1"},
            ]}}),
            7,
            "portMappings: hostPort 1/tcp and hostPort 10.0.0.1:1/tcp of one pod are the same port",
        ),
        (
            json!({"runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 1, "hostIP": "::ffff:10.0.0.1"}]}}),
            7,
            "write 10.0.0.1",
        ),
        (json!({"runtimeConfig": {"ips": ["010.0.0.7/16"]}}), 7, "numbers have no leading zeros"),
        (json!({"runtimeConfig": {"ips": ["::ffff:10.0.0.7/112"]}}), 7, "write 10.0.0.7/16"),
        (
            json!({"prevResult": {"ips": [{"address": "10.0.0.07/16"}]}}),
            7,
            "prevResult.ips[0].address is \"10.0.0.07/16\"",
        ),
        (
            json!({"runtimeConfig": {"portMappings": [{"hostPort": 99999}]}}),
            7,
            "portMappings[0].hostPort is 99999",
        ),
        (
            json!({"runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 1, "protocol": "icmp"}]}}),
            2,
            "portMappings[0].protocol is \"icmp\"",
        ),
        (json!({"prevResult": {"ips": [{"address": "x"}]}}), 7, "prevResult.ips[0].address is \"x\""),
    ] {
        let error = refusal("ADD", extra);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn an_error_names_the_variable() {
    for (name, value, words) in [
        ("CNI_COMMAND", "FLY", "CNI_COMMAND is \"FLY\""),
        ("CNI_COMMAND", "", "CNI_COMMAND is not set"),
        ("CNI_CONTAINERID", "../x", "CNI_CONTAINERID"),
        ("CNI_IFNAME", "a/b", "CNI_IFNAME"),
        ("CNI_NETNS", "", "CNI_NETNS is not set"),
        ("CNI_ARGS", "A=b", "unknown key \"A\""),
        ("CNI_ARGS", "nonsense", "KEY=VALUE"),
    ] {
        let kept = environment("ADD");
        let variables = ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_ARGS"];
        let changed: Environment = variables
            .iter()
            .map(|v| {
                (v.to_string(), if *v == name { value.to_owned() } else { kept.get(v).unwrap().to_owned() })
            })
            .collect();
        let error = parse_request(&changed, &conf(json!({}))).unwrap_err();
        assert_eq!(error.reason, Reason::InvalidEnvironment, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn del_needs_neither_a_namespace_nor_a_sound_runtime_config() {
    let bare: Environment =
        [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0"), ("CNI_NETNS", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
    let stdin = conf(json!({"runtimeConfig": 7, "prevResult": "gone", "ipam": {"type": "x"}}));
    let Ok(Request::Del(del)) = parse_request(&bare, &stdin) else { panic!("not a DEL") };
    assert_eq!(del.sandbox, None);
}

#[test]
fn gc_without_a_list_ends_nothing() {
    assert_eq!(refusal("GC", json!({})).reason, Reason::Invalid);
    let stdin = conf(json!({"cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}]}));
    let Ok(Request::Gc(gc)) = parse_request(&environment("GC"), &stdin) else { panic!("not a GC") };
    assert_eq!(gc.valid.len(), 1);
}

#[test]
fn commands_younger_than_the_version_are_refused() {
    assert_eq!(refusal("CHECK", json!({"cniVersion": "0.3.1"})).reason, Reason::IncompatibleVersion);
    assert_eq!(refusal("STATUS", json!({"cniVersion": "1.0.0"})).reason, Reason::IncompatibleVersion);
    assert_eq!(refusal("CHECK", json!({})).message.split(':').next(), Some("prevResult is missing"));
}

#[test]
fn what_another_program_said_stands_before_the_advice() {
    let error = CniError::new(Reason::PortMapping, "map port 80");
    let advice = Reason::PortMapping.advice();
    assert_eq!(error.to_json(Version::V1_0_0)["details"], advice);
    let error = error.because("nft: no");
    assert_eq!(
        error.to_json(Version::V1_0_0),
        json!({"cniVersion": "1.0.0", "code": 110, "msg": "map port 80", "details": format!("nft: no; {advice}")})
    );
    assert_eq!(error.to_string(), "map port 80 (CNI code 110): nft: no");
}

#[test]
fn version_lists_every_version() {
    let request = parse_request(&environment("VERSION"), r#"{"cniVersion": "0.4.0"}"#).unwrap();
    assert_eq!(request, Request::Version("0.4.0".to_owned()));
    assert_eq!(Version::supported("0.4.0")["supportedVersions"], json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
}

/// "The value of `cniVersion` specified on input", the specification says, and not one that this plugin chooses.
#[test]
fn version_is_answered_in_the_version_it_was_asked_in() {
    for (stdin, told) in [
        (r#"{"cniVersion": "0.4.0"}"#, "0.4.0"),
        (r#"{"cniVersion": "0.2.0"}"#, "0.2.0"),
        (r#"{"cniVersion": "1.2.0-rc1"}"#, "1.2.0-rc1"),
        (r#"{"cniVersion": "\n"}"#, "1.1.0"),
        (r#"{"cniVersion": 1}"#, "1.1.0"),
        ("{}", "1.1.0"),
        ("", "1.1.0"),
    ] {
        let Request::Version(asked) = parse_request(&environment("VERSION"), stdin).unwrap() else {
            panic!()
        };
        assert_eq!(Version::supported(&asked)["cniVersion"], told, "{stdin}");
    }
}

/// A misspelt key would silently do nothing. What the runtime adds, and what it lists of others', is left alone.
#[test]
fn a_key_that_nobody_reads_is_refused_with_its_name() {
    for (extra, words) in [
        (json!({"netwrok": "blue"}), "netwrok is no key that this plugin knows: it has network, agentSocket"),
        (json!({"mtu": 1400}), "mtu is no key"),
        (json!({"isGateway": true}), "isGateway is no key"),
        (
            json!({"dns": {"nameserver": ["10.0.0.1"]}}),
            "dns.nameserver is no key that this plugin knows: it has nameservers",
        ),
        (
            json!({"loopback": {"groups": "a"}}),
            "loopback.groups is no key that this plugin knows: it has group, fraction",
        ),
        (
            json!({"capabilities": {"portMapping": true}}),
            "capabilities.portMapping is no key that this plugin knows: it has ips",
        ),
    ] {
        for command in ["ADD", "STATUS"] {
            let error = parse_request(&environment(command), &conf(extra.clone())).unwrap_err();
            assert_eq!(error.code(), 2, "{error}");
            assert!(error.message.starts_with(words), "{error}\ninstead of\n{words}");
        }
        // What is there can always go.
        parse_request(&environment("DEL"), &conf(extra)).unwrap();
    }
    for extra in [
        json!({"Network": "blue", "AGENTSOCKET": "/run/a.sock"}),
        json!({"cni.dev/valid-attachments": [], "example.com/x": 1, "args": {"anything": {}}}),
        json!({"deviceID": "", "runtimeConfig": {"deviceID": "x", "aliases": []}}),
        json!({"capabilities": {"portMappings": true, "aliases": true, "io.kubernetes.cri.pod-annotations": true}}),
    ] {
        parse_request(&environment("ADD"), &conf(extra)).unwrap();
    }
}

#[test]
fn a_result_says_what_its_version_can_say() {
    let result = CniResult {
        interfaces: vec![Interface {
            name: "eth0".into(),
            mac: "02:00:00:00:00:01".into(),
            mtu: Some(1500),
            sandbox: "/s".into(),
            pci_id: "0000:00:05.0".into(),
            ..Interface::default()
        }],
        ips: vec![Ip {
            interface: Some(0),
            address: "10.0.0.2/16".parse().unwrap(),
            gateway: Some("10.0.0.1".parse().unwrap()),
        }],
        routes: vec![
            Route {
                mtu: Some(1400),
                ..Route::new("0.0.0.0/0".parse().unwrap(), Some("10.0.0.1".parse().unwrap()))
            },
            Route { table: Some(10_007), ..Route::new("10.0.0.0/16".parse().unwrap(), None) },
        ],
        dns: Dns { nameservers: vec!["10.0.0.1".into()], ..Dns::default() },
    };
    assert_eq!(
        result.to_json(Version::V0_4_0),
        json!({
            "cniVersion": "0.4.0",
            "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/s"}],
            "ips": [{"version": "4", "interface": 0, "address": "10.0.0.2/16", "gateway": "10.0.0.1"}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}],
            "dns": {"nameservers": ["10.0.0.1"]},
        })
    );
    let newest = result.to_json(Version::V1_1_0);
    assert_eq!(newest["interfaces"][0]["mtu"], 1500);
    assert_eq!(newest["interfaces"][0]["pciID"], "0000:00:05.0");
    assert_eq!(newest["routes"][0]["mtu"], 1400);
    assert_eq!(newest["routes"][1], json!({"dst": "10.0.0.0/16", "table": 10_007}));
    assert_eq!(newest["ips"][0].get("version"), None);
}

#[test]
fn a_result_joins_those_before_it() {
    let first = CniResult {
        interfaces: vec![Interface { name: "lo".into(), ..Interface::default() }],
        ..CniResult::default()
    };
    let ours = CniResult {
        interfaces: vec![Interface { name: "eth0".into(), ..Interface::default() }],
        ips: vec![Ip { interface: Some(0), address: "10.0.0.2/16".parse().unwrap(), gateway: None }],
        ..CniResult::default()
    };
    assert_eq!(ours.clone().after(None), ours);
    let joined = ours.after(Some(&first));
    assert_eq!(joined.interfaces[joined.ips[0].interface.unwrap()].name, "eth0");
}

/// What is left of a result once `version` has told it.
fn within(mut result: CniResult, version: Version) -> CniResult {
    if version < Version::V1_1_0 {
        for interface in &mut result.interfaces {
            (interface.mtu, interface.socket_path, interface.pci_id) = (None, String::new(), String::new());
        }
        result.routes.retain(|route| route.priority.is_none() && route.table.is_none());
        for route in &mut result.routes {
            *route = Route::new(route.destination, route.gateway);
        }
    }
    result
}

/// None in the other family's clothes: such a one is not read.
fn any_address() -> impl Strategy<Value = std::net::IpAddr> {
    any::<std::net::IpAddr>().prop_map(|address| address.to_canonical())
}

prop_compose! {
    fn any_result()(
        names in prop::collection::vec("[a-z0-9]{1,8}", 0..3),
        mtu in any::<Option<u32>>(), pci_id in "[0-9a-f:.]{0,12}", socket_path in "[/a-z]{0,5}",
        ips in prop::collection::vec((any_address(), 0u8..=32, prop::option::of(0usize..3), prop::option::of(any_address())), 0..4),
        routes in prop::collection::vec((any_address(), 0u8..=32, any::<[Option<u32>; 5]>()), 0..4),
        nameservers in prop::collection::vec("[0-9.]{1,8}", 0..3), domain in prop::option::of("[a-z]{1,5}"),
    ) -> CniResult {
        let net = |address, prefix| ipnet::IpNet::new(address, prefix).unwrap();
        CniResult {
            interfaces: names.into_iter().map(|name| Interface { name, mtu, pci_id: pci_id.clone(), socket_path: socket_path.clone(), ..Interface::default() }).collect(),
            ips: ips.into_iter().map(|(a, p, interface, gateway)| Ip { interface, address: net(a, p), gateway }).collect(),
            routes: routes.into_iter().map(|(a, p, [mtu, advmss, priority, table, scope])| Route { destination: net(a, p), gateway: None, mtu, advmss, priority, table, scope }).collect(),
            dns: Dns { nameservers, domain, ..Dns::default() },
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof!["\\PC{0,12}", Just("1.1.0".to_owned()), Just("10.0.0.1/8".to_owned())]
            .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "cniVersion",
        "name",
        "type",
        "network",
        "agentSocket",
        "ipam",
        "dns",
        "runtimeConfig",
        "prevResult",
        "ips",
        "mac",
        "bandwidth",
        "portMappings",
        "hostPort",
        "containerPort",
        "protocol",
        "hostIP",
        "interfaces",
        "routes",
        "dst",
        "gw",
        "address",
        "interface",
        "ingressRate",
        "ingressBurst",
        "servers",
        "nameservers",
        "cni.dev/valid-attachments",
        "containerID",
        "ifname",
        "mtu",
    ]);
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(key.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn results_survive_every_version(result in any_result()) {
        for version in Version::ALL {
            let told = result.to_json(version);
            prop_assert_eq!(&told["cniVersion"], version.as_str());
            prop_assert_eq!(CniResult::from_json(&told).unwrap(), within(result.clone(), version));
        }
    }

    #[test]
    fn arbitrary_json_never_panics(value in any_json(), command in prop::sample::select(vec!["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"])) {
        let mut whole = json!({"cniVersion": "1.1.0", "name": "pods"});
        if let Some(object) = value.as_object() {
            whole.as_object_mut().unwrap().extend(object.clone());
        }
        for stdin in [value.to_string(), whole.to_string()] {
            if let Err(error) = parse_request(&environment(command), &stdin) {
                prop_assert!(!error.message.is_empty());
                prop_assert!((1..=7).contains(&error.code()), "{}", error);
            }
        }
    }

    #[test]
    fn arbitrary_text_never_panics(variables in prop::collection::btree_map("CNI_(COMMAND|CONTAINERID|IFNAME|NETNS|ARGS)", "\\PC{0,40}", 0..6), stdin in "\\PC{0,80}") {
        let environment: Environment = variables.into_iter().collect();
        let _ = parse_request(&environment, &stdin);
        let _ = answer_version(&stdin);
    }
}

#[test]
fn reads_what_containerd_writes() {
    let stdin = conf(json!({"runtimeConfig": {
        "portMappings": [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}],
        "bandwidth": {"IngressRate": 0, "IngressBurst": 0, "EgressRate": 20_000_000, "EgressBurst": 4_294_967_295_u64},
        "dns": {"Servers": ["10.0.0.2"], "Searches": ["a.b"], "Options": []},
    }}));
    let Ok(Request::Add(add)) = parse_request(&environment("ADD"), &stdin) else { panic!("not an ADD") };
    let runtime = add.conf.runtime;
    assert_eq!((runtime.port_mappings[0].host_port, runtime.port_mappings[0].container_port), (8080, 80));
    assert_eq!(runtime.bandwidth.ingress, None);
    let egress = runtime.bandwidth.egress.unwrap();
    assert_eq!((egress.bits_per_second, egress.burst_bits), (20_000_000, 2_000_000));
    assert_eq!(runtime.dns.unwrap().nameservers, ["10.0.0.2"]);
}

#[test]
fn the_exact_spelling_goes_first() {
    let stdin = conf(json!({"Network": "red", "network": "blue"}));
    let Ok(Request::Add(add)) = parse_request(&environment("ADD"), &stdin) else { panic!("not an ADD") };
    assert_eq!(add.conf.network.unwrap().as_str(), "blue");
}

fn joins(extra: Value, arguments: &str) -> Result<Option<String>, CniError> {
    let mut environment: Vec<_> =
        [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0"), ("CNI_NETNS", "/n")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    environment.push(("CNI_ARGS".to_owned(), arguments.to_owned()));
    let mut all = json!({"mode": "loopback"});
    all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let Request::Add(add) = parse_request(&environment.into_iter().collect(), &conf(all))? else {
        panic!("not ADD")
    };
    assert_eq!(add.attachment.to_string(), "c1/hostlo0");
    Ok(add.join.map(|wish| {
        let size = wish.size.map_or(String::new(), |size| format!(" of {size}"));
        format!("{}/{}{size}", wish.group, wish.fraction)
    }))
}

#[test]
fn a_fraction_is_named_in_any_of_the_usual_places() {
    let own = json!({"group": "own", "fraction": "f"});
    let arguments = "NESTLESS_GROUP=arguments;NESTLESS_FRACTION=f";
    let cni = json!({"cni": {"loopback": {"group": "args", "fraction": "f"}}});
    let annotations = json!({"nestless.io/loopback-group": "annotation", "nestless.io/loopback-fraction": "f", "other": "x"});
    let annotated = json!({"io.kubernetes.cri.pod-annotations": annotations});
    let mut runtime = annotated.clone();
    runtime["loopback"] = json!({"group": "runtime", "fraction": "f"});
    let named = |conf: Value, arguments: &str| joins(conf, arguments).unwrap();
    assert_eq!(named(json!({}), "IgnoreUnknown=1"), None);
    assert_eq!(named(json!({"runtimeConfig": {"io.kubernetes.cri.pod-annotations": {"a": "b"}}}), ""), None);
    assert_eq!(named(json!({"loopback": own}), "").unwrap(), "own/f");
    assert_eq!(named(json!({"loopback": own}), arguments).unwrap(), "arguments/f");
    assert_eq!(named(json!({"loopback": own, "args": cni}), arguments).unwrap(), "args/f");
    assert_eq!(named(json!({"args": cni, "runtimeConfig": annotated}), arguments).unwrap(), "annotation/f");
    assert_eq!(named(json!({"args": cni, "runtimeConfig": runtime}), arguments).unwrap(), "runtime/f");
}

#[test]
fn a_size_may_stand_beside_the_names() {
    let named = |conf: Value, arguments: &str| joins(conf, arguments).unwrap().unwrap();
    let annotations = json!({
        "nestless.io/loopback-group": "g", "nestless.io/loopback-fraction": "f", "nestless.io/loopback-size": "3"
    });
    let annotated = json!({"runtimeConfig": {"io.kubernetes.cri.pod-annotations": annotations}});
    assert_eq!(named(annotated, ""), "g/f of 3");
    let own = json!({"loopback": {"group": "g", "fraction": "f", "size": 2}});
    assert_eq!(named(own.clone(), ""), "g/f of 2");
    // One place says all.
    assert_eq!(named(own, "NESTLESS_GROUP=g;NESTLESS_FRACTION=f"), "g/f");
    assert_eq!(named(json!({}), "NESTLESS_GROUP=g;NESTLESS_FRACTION=f;NESTLESS_SIZE=16"), "g/f of 16");
    let message = |size: Value| {
        let own = json!({"loopback": {"group": "g", "fraction": "f", "size": size}});
        joins(own, "").unwrap_err().message
    };
    assert_eq!(
        message(json!(17)),
        "loopback.size is 17: expected 1 to 16, the most fractions that the group will have"
    );
    for wrong in [json!(0), json!(-1), json!("many"), json!([])] {
        assert!(message(wrong.clone()).contains("expected 1 to 16"), "{wrong}");
    }
    let arguments = "NESTLESS_GROUP=g;NESTLESS_FRACTION=f;NESTLESS_SIZE=0";
    assert!(joins(json!({}), arguments).unwrap_err().message.contains("NESTLESS_SIZE: expected 1 to 16"));
}

#[test]
fn half_a_fraction_s_name_is_refused() {
    let message = |conf: Value, arguments: &str| joins(conf, arguments).unwrap_err().message;
    assert!(message(json!({}), "NESTLESS_GROUP=g").contains("expected both"));
    assert!(message(json!({}), "NESTLESS_GROUP=g;NESTLESS_FRACTION=a/b").contains("NESTLESS_FRACTION"));
    assert!(message(json!({"loopback": {"group": "g"}}), "").starts_with("loopback.fraction is missing"));
    assert!(
        message(json!({"runtimeConfig": {"loopback": {"group": "", "fraction": "f"}}}), "")
            .contains("runtimeConfig.loopback.group")
    );
    assert!(message(json!({"mode": "hostlo"}), "").contains("\"pod\" or \"loopback\""));
}
