//! The real plugin in a real guest: every version, verb, capability and error, as a container runtime would see them.

use ipnet::IpNet;
use nestless_lab::{Exec, Vmm};
use nestless_model::cni::Version;
use nestless_test::{
    Call, Echo, Failure, Site, agree, agreement, cni, echo, eventually,
    frame::{Raw, ethernet, udp4},
    lab, operator, traffic,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const VM: &str = "vm1";

async fn add(site: &Site, pod: &str) -> Value {
    added(site, pod, Call::new("ADD", pod)).await
}

async fn added(site: &Site, pod: &str, call: Call) -> Value {
    cni::sandbox(site, VM, pod).await.unwrap();
    call.insist(site, VM).await.unwrap_or_else(|failure| panic!("{failure}"))
}

async fn del(site: &Site, pod: &str) {
    assert_eq!(Call::new("DEL", pod).run(site, VM).await, Ok(Value::Null));
    cni::drop_sandbox(site, VM, pod).await.unwrap();
}

async fn in_pod(site: &Site, pod: &str, line: &str) -> String {
    let output = site.pod_exec(VM, pod, Exec::shell(line)).await.unwrap();
    output.success(line).unwrap_or_else(|error| panic!("{error}")).text()
}

async fn pings(site: &Site, pod: &str) {
    for gateway in traffic::GATEWAYS {
        in_pod(site, pod, &format!("busybox ping -c 1 -W 10 {gateway}")).await;
    }
}

fn refused(outcome: Result<Value, Failure>, code: u64, words: &[&str]) {
    let failure = outcome.unwrap_err();
    assert_eq!(failure.code, code, "{failure}");
    for word in words {
        assert!(failure.msg.contains(word), "no {word:?} in: {failure}");
    }
    assert!(!failure.details.is_empty(), "{failure}");
}

async fn every_version(site: &Site) {
    let told = Call::new("VERSION", "x").run(site, VM).await.unwrap();
    let versions: Vec<&str> = Version::ALL.iter().map(|version| version.as_str()).collect();
    assert_eq!(told["supportedVersions"], json!(versions));
    for version in versions {
        let speak = |command: &str| Call::new(command, "v").conf("cniVersion", json!(version));
        let result = added(site, "v", speak("ADD")).await;
        assert_eq!(result["cniVersion"], version);
        assert_eq!(result["ips"].as_array().unwrap().len(), 2, "{result}");
        pings(site, "v").await;
        if version != "0.3.1" {
            assert_eq!(speak("CHECK").conf("prevResult", result).run(site, VM).await, Ok(Value::Null));
        }
        assert_eq!(speak("DEL").run(site, VM).await, Ok(Value::Null));
        cni::drop_sandbox(site, VM, "v").await.unwrap();
    }
    let unknown = Call::new("ADD", "v").conf("cniVersion", json!("9.9.9")).run(site, VM).await;
    refused(unknown, 1, &["cniVersion \"9.9.9\""]);
}

async fn bad_calls_change_nothing(site: &Site) {
    let before = agree(site).await;
    cni::sandbox(site, VM, "bad").await.unwrap();
    let call = || Call::new("ADD", "bad");
    let link = "ip link add eth0 type dummy";
    for (call, code, words) in [
        (call().raw("{"), 6, &["not JSON"][..]),
        (call().raw(""), 6, &["not JSON"]),
        (call().raw("[]"), 7, &[]),
        (call().conf("network", json!("two words")), 7, &["network is \"two words\""]),
        (call().conf("network", json!("elsewhere")), 102, &["elsewhere", "network"]),
        (call().conf("ipam", json!({ "type": "host-local" })), 2, &["ipam.type is \"host-local\""]),
        (call().without("CNI_CONTAINERID"), 4, &["CNI_CONTAINERID is not set"]),
        (call().without("CNI_NETNS"), 4, &["CNI_NETNS is not set"]),
        (call().env("CNI_CONTAINERID", "../x"), 4, &["CNI_CONTAINERID"]),
        (call().env("CNI_IFNAME", "sixteen-letters0"), 4, &["CNI_IFNAME"]),
        (call().env("CNI_NETNS", "/run/netns/none"), 4, &["/run/netns/none", "does not open"]),
        (call().env("CNI_NETNS", "/etc/hosts"), 4, &["/etc/hosts", "no namespace"]),
        (call().env("CNI_NETNS", "/proc/1/ns/mnt"), 4, &["/proc/1/ns/mnt", "network namespace"]),
        (call().env("CNI_NETNS", "/proc/1/ns/net"), 4, &["the VM's own network namespace"]),
        (call().env("CNI_ARGS", "WHAT=ever"), 4, &["unknown key \"WHAT\""]),
        (call().conf("agentSocket", json!("/run/none.sock")), 11, &["no agent answers on /run/none.sock"]),
        (call().conf("runtimeConfig", json!({ "ips": ["10.99.0.1/16"] })), 7, &["10.99.0.1"]),
        (call().conf("runtimeConfig", json!({ "mac": "4e:4c:00:00:00:09" })), 7, &["4e:4c"]),
        (Call::new("CHECK", "bad"), 7, &["prevResult is missing"]),
        (Call::new("GC", "bad"), 7, &["cni.dev/valid-attachments is missing"]),
        (Call::new("FLY", "bad"), 4, &["CNI_COMMAND is \"FLY\""]),
    ] {
        refused(call.run(site, VM).await, code, words);
    }
    in_pod(site, "bad", link).await;
    refused(call().run(site, VM).await, 100, &["eth0"]);
    in_pod(site, "bad", "ip link del eth0").await;
    assert_eq!(in_pod(site, "bad", "ip -o link | wc -l").await, "1");
    cni::drop_sandbox(site, VM, "bad").await.unwrap();
    let after = agree(site).await;
    let held = |status: &nestless_proto::StatusResponse| (status.vms[0].in_use, status.vms[0].spare);
    assert_eq!(held(&before), held(&after));
}

async fn once_and_again(site: &Site) {
    let first = add(site, "twice").await;
    let second = Call::new("ADD", "twice").run(site, VM).await;
    refused(second, 101, &["twice", "has a NIC already"]);
    assert_eq!(Call::new("CHECK", "twice").conf("prevResult", first).run(site, VM).await, Ok(Value::Null));
    pings(site, "twice").await;
    del(site, "twice").await;
    for _ in 0..2 {
        assert_eq!(Call::new("DEL", "twice").run(site, VM).await, Ok(Value::Null));
        assert_eq!(Call::new("DEL", "never").without("CNI_NETNS").run(site, VM).await, Ok(Value::Null));
    }
    // A name that was used before may be used again.
    add(site, "twice").await;
    pings(site, "twice").await;
    del(site, "twice").await;
}

async fn check_sees_what_was_changed(site: &Site) {
    let result = add(site, "watched").await;
    let check = || Call::new("CHECK", "watched").conf("prevResult", result.clone());
    assert_eq!(check().run(site, VM).await, Ok(Value::Null));
    let address = result["ips"][0]["address"].as_str().unwrap();
    in_pod(site, "watched", &format!("ip addr del {address} dev eth0")).await;
    refused(
        check().run(site, VM).await,
        111,
        &["watched/eth0", &format!("the address {address} is missing")],
    );
    in_pod(site, "watched", &format!("ip addr add {address} dev eth0")).await;
    in_pod(site, "watched", "ip link set eth0 down").await;
    refused(check().run(site, VM).await, 111, &["it is down"]);
    in_pod(site, "watched", "ip link set eth0 up").await;

    let link = operator::nic_of(site, "watched").await.unwrap().link;
    eventually("CHECK sees that the TAP left the bridge", || async {
        let off = Exec::shell(format!("ip link set {link} nomaster"));
        site.host_exec(&off).await.unwrap().success("take the TAP from the bridge").unwrap();
        // The daemon may have looked, and mended, in between.
        match check().run(site, VM).await {
            Err(failure) if failure.msg.contains(&format!("{link} is no port of its network's bridge")) => {
                assert_eq!(failure.code, 111);
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    eventually("the TAP's return", || async {
        let end = agreement::host_ends(site).await.remove(&link).unwrap();
        if end.master.is_some() { Ok(()) } else { Err(format!("{end:?}")) }
    })
    .await;
    del(site, "watched").await;
    refused(check().run(site, VM).await, 4, &["CNI_NETNS"]);
    cni::sandbox(site, VM, "watched").await.unwrap();
    refused(check().run(site, VM).await, 3, &["watched/eth0 is not attached"]);
    cni::drop_sandbox(site, VM, "watched").await.unwrap();
}

async fn capabilities(site: &Site) {
    let runtime = json!({
        "ips": ["10.78.77.7/16", "fd00:78::77:7"],
        "mac": "02:00:5e:10:00:01",
        "dns": { "servers": ["10.78.0.53"], "searches": ["a.test"], "options": ["ndots:2"] },
        "bandwidth": { "egressRate": 80_000, "egressBurst": 80_000 },
        "portMappings": [
            { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
            { "hostPort": 5353, "containerPort": 53, "protocol": "udp" },
        ],
    });
    let call = Call::new("ADD", "able").conf("runtimeConfig", runtime.clone());
    let result = added(site, "able", call).await;
    assert_eq!(result["ips"][0]["address"], "10.78.77.7/16");
    assert_eq!(result["ips"][1]["address"], "fd00:78::77:7/64");
    assert_eq!(result["interfaces"][0]["mac"], "02:00:5e:10:00:01");
    assert_eq!(result["dns"]["nameservers"], json!(["10.78.0.53"]));
    assert_eq!(result["dns"]["search"], json!(["a.test"]));
    assert!(in_pod(site, "able", "ip link show eth0").await.contains("02:00:5e:10:00:01"));
    pings(site, "able").await;
    let nic = operator::nic_of(site, "able").await.unwrap();
    assert_eq!(nic.pod_mac, "02:00:5e:10:00:01");

    ports_lead_to_the_pod(site).await;
    the_rate_is_kept(site).await;

    let taken =
        |key: &str, value: Value| Call::new("ADD", "unable").conf("runtimeConfig", json!({ key: value }));
    cni::sandbox(site, VM, "unable").await.unwrap();
    refused(taken("ips", json!(["10.78.77.7/16"])).run(site, VM).await, 104, &["10.78.77.7"]);
    refused(taken("mac", json!("02:00:5e:10:00:01")).run(site, VM).await, 105, &["02:00:5e:10:00:01"]);
    // QEMU's own, Docker's, and a router's.
    for mac in ["52:54:00:12:34:56", "02:42:ac:11:00:02", "00:00:5e:00:01:07"] {
        refused(taken("mac", json!(mac)).run(site, VM).await, 7, &[mac, "begin with 02:00:5e", "`macs`"]);
    }
    cni::drop_sandbox(site, VM, "unable").await.unwrap();
    del(site, "able").await;
    let rules = site.exec(VM, &Exec::shell("nft list ruleset")).await.unwrap().text();
    assert!(!rules.contains("10.78.77.7") && !rules.contains("8080"), "{rules}");
    for vm in site.vm(VM).unwrap().addresses() {
        let refused = echo::by_tcp(site.host(), (vm.addr(), 8080).into()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{vm}: {refused}");
    }
}

/// By both protocols and both families, from outside and from the VM itself. The pod answers to the VM, which passes it on.
async fn ports_lead_to_the_pod(site: &Site) {
    let forward = Exec::shell("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    site.exec(VM, &forward).await.unwrap().success("forward IPv6").unwrap();
    let server = Echo::serve(site, VM, "able", 80, 53).await;
    let families = site.vm(VM).unwrap().addresses().iter().map(IpNet::addr).collect::<Vec<_>>();
    assert_eq!(families.iter().filter(|address| address.is_ipv4()).count(), 1, "{families:?}");
    assert_eq!(families.len(), 2, "{families:?}");
    for vm in families {
        assert_eq!(echo::by_tcp(site.host(), (vm, 8080).into()).await.unwrap(), vm);
        assert_eq!(echo::by_udp(site.host(), (vm, 5353).into()).await.unwrap(), vm);
        // What is mapped for one protocol is not for the other.
        let refused = echo::by_tcp(site.host(), (vm, 5353).into()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{vm}: {refused}");
        let inside = Exec::shell(format!("busybox nc -w 10 {vm} 8080 </dev/null"));
        let answer = site.exec(VM, &inside).await.unwrap().success("ask from within").unwrap();
        assert_eq!(answer.text(), vm.to_string());
    }
    server.end().await;
}

/// Ten thousand bytes a second after a burst of ten thousand: of a hundred times a thousand bytes at once most must go.
async fn the_rate_is_kept(site: &Site) {
    let before = operator::nic_of(site, "able").await.unwrap().guard.unwrap();
    let text = [b'x'; 972];
    let own = "10.78.77.7".parse().unwrap();
    let frame = ethernet([2, 0, 0x5e, 0x10, 0, 1], 0x0800, &udp4(own, (1000, 2000), &text));
    Raw::send(site, VM, Some("able"), "eth0", &vec![frame; 100]).await;
    let after = eventually("drops over the rate", || async {
        let now = operator::nic_of(site, "able").await.unwrap().guard.unwrap();
        let dropped = now.dropped["egress_rate"] - before.dropped["egress_rate"];
        if dropped > 0 { Ok(now) } else { Err(format!("{now:?}")) }
    })
    .await;
    assert!(after.passed > before.passed, "{before:?} then {after:?}");
}

async fn gc_ends_what_is_not_valid(site: &Site) {
    for pod in ["keep", "forget"] {
        add(site, pod).await;
    }
    let valid = json!([{ "containerID": "keep", "ifname": "eth0" }]);
    let gc = Call::new("GC", "x").conf("cni.dev/valid-attachments", valid);
    assert_eq!(gc.run(site, VM).await, Ok(Value::Null));
    assert!(operator::nic_of(site, "keep").await.is_some());
    operator::is_over(site, "forget").await;
    pings(site, "keep").await;
    cni::drop_sandbox(site, VM, "forget").await.unwrap();
    del(site, "keep").await;
}

async fn a_full_vm_is_ready_and_takes_no_more(site: &Site, limit: usize) {
    assert_eq!(Call::new("STATUS", "x").run(site, VM).await, Ok(Value::Null));
    for number in 0..limit {
        add(site, &format!("full{number}")).await;
    }
    // Full of pods is no fault.
    assert_eq!(Call::new("STATUS", "x").run(site, VM).await, Ok(Value::Null));
    cni::sandbox(site, VM, "late").await.unwrap();
    let words = ["nic_limit", &limit.to_string()[..]];
    refused(Call::new("ADD", "late").run(site, VM).await, 106, &words);
    cni::drop_sandbox(site, VM, "late").await.unwrap();
    for number in 0..limit {
        del(site, &format!("full{number}")).await;
    }
    operator::settled(site).await;
    assert_eq!(Call::new("STATUS", "x").run(site, VM).await, Ok(Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plugin_in_a_real_guest() {
    let builder = lab("cni", Vmm::Qemu)
        .nics(1, 4)
        .own_program(Raw::PROGRAM)
        .own_program(Echo::PROGRAM)
        .programs(["nft", "ip"]);
    let site = Site::up(builder).await;
    every_version(&site).await;
    bad_calls_change_nothing(&site).await;
    once_and_again(&site).await;
    check_sees_what_was_changed(&site).await;
    capabilities(&site).await;
    gc_ends_what_is_not_valid(&site).await;
    a_full_vm_is_ready_and_takes_no_more(&site, 4).await;
    agree(&site).await;
    assert!(site.pods(VM).await.unwrap().is_empty());
    site.holds_no_more_descriptors().await;
    site.down().await;
}

/// So many at once; then all of them away at once.
async fn many_at_once(site: &Site, count: usize) {
    let mut adding = Vec::new();
    let client = site.vm(VM).unwrap().client().await.unwrap();
    for number in 0..count {
        let (client, name) = (client.clone(), format!("c{number}"));
        adding.push(tokio::spawn(async move {
            client.add_namespace(&name).await.unwrap();
            until_served(&client, "ADD", &name).await
        }));
    }
    let mut addresses = BTreeSet::new();
    for task in adding {
        let result = task.await.unwrap();
        for ip in result["ips"].as_array().unwrap() {
            let address: IpNet = ip["address"].as_str().unwrap().parse().unwrap();
            assert!(addresses.insert(address.addr()), "{address} was given twice");
        }
    }
    assert_eq!(addresses.len(), count * 2);
    let status = agree(site).await;
    assert_eq!(status.vms[0].in_use as usize, count);
    let mut deleting = Vec::new();
    for number in 0..count {
        let (client, name) = (client.clone(), format!("c{number}"));
        deleting.push(tokio::spawn(async move {
            until_served(&client, "DEL", &name).await;
            client.remove_namespace(&name).await.unwrap();
        }));
    }
    for task in deleting {
        task.await.unwrap();
    }
    let status = agree(site).await;
    assert_eq!(status.vms[0].in_use, 0);
    site.holds_no_more_descriptors().await;
}

async fn until_served(client: &nestless_lab::GuestClient, command: &str, name: &str) -> Value {
    eventually(name, || async {
        let output = client.exec(&Call::new(command, name).exec()).await.unwrap();
        match cni::answer(&output) {
            Ok(result) => Ok(result),
            Err(failure) if failure.code == cni::TRY_AGAIN => Err(failure.to_string()),
            Err(failure) => panic!("{command} {name}: {failure}"),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_in_a_namespace_vm() {
    let site = Site::up(lab("many", Vmm::Namespace).nics(4, 256)).await;
    many_at_once(&site, 200).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_in_a_real_guest() {
    let site = Site::up(lab("fifty", Vmm::Qemu).size(1, 1024).nics(4, 60)).await;
    many_at_once(&site, 50).await;
    site.down().await;
}
