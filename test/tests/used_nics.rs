//! What a pod does to its NIC is gone with it: the next pod has one as new, whatever it was and whoever died meanwhile. And a
//! NIC that a pod may still have is nobody else's.

use nestless_lab::{Exec, Vmm};
use nestless_test::{
    Call, Site, agree, cni,
    frame::Raw,
    lab,
    operator::{self, is_over},
    split::Fraction,
    traffic::{GATEWAYS, ping},
};
use serde_json::Value;
use std::collections::BTreeSet;

const VM: &str = "vm1";

/// Of each kind that a link has something: flags, numbers, names, programs.
const DEEDS: [&str; 9] = [
    "ip link set eth0 arp off",
    "ip link set eth0 promisc on",
    "ip link set eth0 allmulticast on",
    "ip link set eth0 txqueuelen 7",
    "ip link set eth0 group 7",
    "ip link set eth0 gso_max_size 5000",
    "ip link set eth0 alias mine",
    "ip link property add dev eth0 altname shared",
    "nestless-test-frames block eth0",
];

async fn runs(site: &Site, pod: &str, line: &str) -> String {
    let output = site.pod_exec(VM, pod, Exec::shell(line)).await.unwrap();
    output.success(line).unwrap_or_else(|error| panic!("{pod}: {error}")).text()
}

/// All that iproute2 knows of the pod's link, but for the number that every link gets anew, and for what the kernel has heard
/// of its carrier, which comes when it comes.
async fn look(site: &Site, pod: &str) -> String {
    let seen = runs(site, pod, "ip -details link show eth0").await;
    let seen = seen.split_once(": ").expect("a number and the rest").1.replace("NO-CARRIER,", "");
    let (before, after) = seen.split_once(" state ").expect("a state");
    [before, after.split_once(' ').expect("a word and the rest").1].join(" ")
}

/// A pod that reaches the bridge. Where its VM's only NIC has just been another's, the call waits: it is repeated only where no
/// agent answers.
async fn add(site: &Site, pod: &str) {
    cni::sandbox(site, VM, pod).await.unwrap();
    let added = Call::new("ADD", pod).insist(site, VM).await;
    added.unwrap_or_else(|failure| panic!("{pod}: {failure}"));
    for gateway in GATEWAYS {
        let answered = site.pod_exec(VM, pod, ping(gateway)).await.unwrap();
        answered.success("ping the bridge").unwrap_or_else(|error| panic!("{pod}: {error}"));
    }
}

async fn nic(site: &Site, pod: &str) -> u32 {
    operator::nic_of(site, pod).await.expect("a NIC serves it").nic_id
}

async fn spoil(site: &Site, pod: &str) {
    runs(site, pod, &DEEDS.join(" && ")).await;
    let answered = site.pod_exec(VM, pod, Exec::new(["busybox", "ping", "-c", "1", "-W", "1", GATEWAYS[0]]));
    assert!(!answered.await.unwrap().exit.is_success(), "what was done has no effect");
}

async fn del(site: &Site, pod: &str) {
    assert_eq!(Call::new("DEL", pod).run(site, VM).await, Ok(Value::Null));
    let left = runs(site, pod, "ls /sys/class/net").await;
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["lo"]);
    cni::drop_sandbox(site, VM, pod).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_has_a_nic_as_new_whatever_was_done_to_it() {
    let builder = lab("used", Vmm::Qemu).nics(1, 1).programs(["ip"]).own_program(Raw::PROGRAM);
    let site = Site::up(builder).await;
    add(&site, "first").await;
    let (as_new, only) = (look(&site, "first").await, nic(&site, "first").await);
    spoil(&site, "first").await;
    assert_ne!(look(&site, "first").await, as_new);
    del(&site, "first").await;
    add(&site, "second").await;
    assert_eq!((look(&site, "second").await, nic(&site, "second").await), (as_new.clone(), only));

    // The sandbox vanishes, and the kernel gives the NIC back as it is.
    spoil(&site, "second").await;
    cni::drop_sandbox(&site, VM, "second").await.unwrap();
    is_over(&site, "second").await;
    operator::settled(&site).await;
    add(&site, "third").await;
    assert_eq!((look(&site, "third").await, nic(&site, "third").await), (as_new.clone(), only));

    // The agent dies on the way, wherever it is.
    for round in 0..4 {
        let pod = if round == 0 { "third".to_owned() } else { format!("killed{round}") };
        spoil(&site, &pod).await;
        assert_eq!(Call::new("DEL", &pod).run(&site, VM).await, Ok(Value::Null));
        site.vm(VM).unwrap().kill_agent().await.unwrap();
        cni::drop_sandbox(&site, VM, &pod).await.unwrap();
        operator::settled(&site).await;
        let next = format!("killed{}", round + 1);
        add(&site, &next).await;
        assert_eq!((look(&site, &next).await, nic(&site, &next).await), (as_new.clone(), only));
    }
    del(&site, "killed4").await;

    // A fraction's endpoint is a NIC as any other.
    let fraction = Fraction { site: &site, vm: VM, name: "fraction" };
    cni::sandbox(&site, VM, fraction.name).await.unwrap();
    fraction.call("ADD").run(&site, VM).await.unwrap();
    runs(&site, fraction.name, "nestless-test-frames block hostlo0").await;
    fraction.call("DEL").run(&site, VM).await.unwrap();
    cni::drop_sandbox(&site, VM, fraction.name).await.unwrap();
    add(&site, "last").await;
    assert_eq!((look(&site, "last").await, nic(&site, "last").await), (as_new, only));
    del(&site, "last").await;
    agree(&site).await;
    site.holds_no_more_descriptors().await;
    site.down().await;
}

/// What plays a NIC in a VM that is a namespace has no driver: the host plugs another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nic_that_cannot_be_made_anew_is_replaced() {
    let site = Site::up(lab("replaced", Vmm::Namespace).nics(1, 4).own_program(Raw::PROGRAM)).await;
    let mut had = BTreeSet::new();
    for pod in ["one", "two", "three"] {
        add(&site, pod).await;
        assert!(had.insert(nic(&site, pod).await), "{pod} has another pod's NIC");
        spoil(&site, pod).await;
        del(&site, pod).await;
        let status = operator::settled(&site).await;
        let there: BTreeSet<u32> = status.vms[0].nics.iter().map(|nic| nic.nic_id).collect();
        assert!(there.is_disjoint(&had), "{there:?}");
    }
    agree(&site).await;
    site.holds_no_more_descriptors().await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nic_that_its_pod_still_has_is_not_offered_to_another() {
    let site = Site::up(lab("taken", Vmm::Qemu).nics(1, 2)).await;
    add(&site, "living").await;
    operator::confirmed(&site, "living").await;
    operator::settled(&site).await;
    let taken = nic(&site, "living").await;
    assert!(operator::release(&site, VM, "living").await);
    let phase = |status: nestless_proto::VmStatus| {
        status.nics.into_iter().find(|nic| nic.nic_id == taken).map(|nic| nic.phase)
    };
    assert_eq!(phase(operator::vm(&site, VM).await).as_deref(), Some("Releasing"));
    add(&site, "next").await;
    assert_ne!(nic(&site, "next").await, taken);
    cni::sandbox(&site, VM, "third").await.unwrap();
    let refused = Call::new("ADD", "third").run(&site, VM).await.unwrap_err();
    assert_eq!(refused.code, 106, "{refused}");
    // Its pod goes: now it is back, and as new.
    del(&site, "living").await;
    let third = Call::new("ADD", "third").run(&site, VM).await;
    assert!(third.is_ok(), "{third:?}");
    assert_eq!(nic(&site, "third").await, taken);
    del(&site, "third").await;
    del(&site, "next").await;
    agree(&site).await;
    site.down().await;
}

/// A node that is full is in order; a kubelet that heard otherwise would drive away the pods that fill it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_that_is_full_of_pods_is_ready() {
    let site = Site::up(lab("full", Vmm::Namespace).nics(0, 1)).await;
    add(&site, "only").await;
    cni::sandbox(&site, VM, "more").await.unwrap();
    assert_eq!(Call::new("ADD", "more").run(&site, VM).await.unwrap_err().code, 106);
    assert_eq!(Call::new("STATUS", "x").run(&site, VM).await, Ok(Value::Null));
    del(&site, "only").await;
    agree(&site).await;
    assert_eq!(Call::new("STATUS", "x").run(&site, VM).await, Ok(Value::Null));
    cni::drop_sandbox(&site, VM, "more").await.unwrap();
    site.down().await;
}
