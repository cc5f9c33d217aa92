//! Pods of real guests through all that may happen to them: cold and warm NICs, reboots, deaths of the agent, the daemon
//! and the VM, a guest that stands still, a sandbox that vanishes.

use nestless_lab::{Exec, LabError, Pod, PodOptions, Vmm};
use nestless_test::{
    Monitor, Site, agree, cni, eventually, lab,
    operator::{self, confirmed, is_over},
    traffic::{self, meet, reaches_the_bridge},
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

async fn add(site: &Site, vm: &str, pod: &str) -> Pod {
    let added = site.pod_add(vm, pod, PodOptions::default()).await;
    added.unwrap_or_else(|error| panic!("{error}"))
}

async fn del(site: &Site, vm: &str, pod: &str) {
    site.pod_del(vm, pod, PodOptions::default()).await.unwrap();
}

async fn spares(site: &Site, vm: &str) -> BTreeSet<u32> {
    let nics = operator::settled(site).await.vms.into_iter().filter(|v| v.name == vm).flat_map(|v| v.nics);
    nics.filter(|nic| nic.phase == "Spare").map(|nic| nic.nic_id).collect()
}

/// Echo requests at a steady pace; all must be answered, whatever happens meanwhile.
async fn steady(site: &Site, pod: &Pod, target: &str) -> tokio::task::JoinHandle<()> {
    let client = site.vm(pod.vm.as_str()).unwrap().client().await.unwrap();
    let exec = Exec::new(["busybox", "ping", "-c", "12", "-W", "10", target]).in_pod(&pod.name);
    tokio::spawn(async move {
        let output = client.exec(&exec).await.unwrap();
        let text = output.text();
        assert!(text.contains(" 0% packet loss"), "{text}");
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_plugged_pods_of_two_vms_meet_and_leave() {
    let site = Site::up(lab("cold", Vmm::Qemu).vms(2).nics(0, 8)).await;
    let one = add(&site, "vm1", "one").await;
    let two = add(&site, "vm2", "two").await;
    meet(&site, &one, &two).await;
    reaches_the_bridge(&site, &one).await;
    for address in &one.addresses {
        let from_host = site.host_exec(&traffic::ping(&address.to_string())).await.unwrap();
        from_host.success(format!("the host pings {address}")).unwrap();
    }
    let status = agree(&site).await;
    assert_eq!(status.vms.iter().map(|vm| vm.in_use).collect::<Vec<_>>(), [1, 1]);
    let path = operator::trace(&site, "one").await;
    assert!(path.hops.iter().all(|hop| hop.seen), "{:?}", path.hops);

    del(&site, "vm1", "one").await;
    // A runtime's DEL may come any number of times; a person is told that there is nothing to remove.
    assert_eq!(cni::Call::new("DEL", "one").run(&site, "vm1").await, Ok(serde_json::Value::Null));
    let none = site.pod_del("vm1", "one", PodOptions::default()).await.unwrap_err();
    assert!(matches!(none, LabError::NoPod { .. }), "{none}");
    del(&site, "vm2", "two").await;
    let status = agree(&site).await;
    assert!(status.vms.iter().all(|vm| vm.nics.is_empty()), "{:?}", status.vms);
    site.holds_no_more_descriptors().await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_nic_serves_goes_back_and_survives_a_reboot() {
    let site = Site::up(lab("warm", Vmm::Qemu).vms(2).nics(2, 8)).await;
    let pool = spares(&site, "vm1").await;
    assert_eq!(pool.len(), 2);
    let one = add(&site, "vm1", "one").await;
    let two = add(&site, "vm2", "two").await;
    let taken = confirmed(&site, "one").await.nic_id;
    assert!(pool.contains(&taken), "{taken} of {pool:?}");
    meet(&site, &one, &two).await;
    del(&site, "vm1", "one").await;
    let back = spares(&site, "vm1").await;
    assert!(back.contains(&taken), "{taken} of {back:?}");
    agree(&site).await;

    // The next pod on it has nothing of the last one's.
    let again = add(&site, "vm1", "again").await;
    let links = site.pod_exec("vm1", "again", Exec::new(["busybox", "ip", "addr"])).await.unwrap().text();
    for address in &one.addresses {
        assert!(
            !links.contains(&format!("inet {address}/")) && !links.contains(&format!("inet6 {address}/"))
        );
    }
    meet(&site, &again, &two).await;

    // A reboot ends what the last boot had. The NICs stay plugged, and serve the next one.
    site.vm("vm1").unwrap().reboot().await.unwrap();
    is_over(&site, "again").await;
    let status = agree(&site).await;
    let vm1 = status.vms.iter().find(|vm| vm.name == "vm1").unwrap();
    assert!(vm1.in_use == 0 && vm1.spare >= 2, "{vm1:?}");
    let after = add(&site, "vm1", "after").await;
    meet(&site, &after, &two).await;
    del(&site, "vm1", "after").await;
    del(&site, "vm2", "two").await;
    agree(&site).await;
    site.holds_no_more_descriptors().await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_outlive_the_agent_and_the_daemon() {
    let mut site = Site::up(lab("outlive", Vmm::Qemu).nics(2, 8)).await;
    let one = add(&site, "vm1", "one").await;
    let two = add(&site, "vm1", "two").await;
    confirmed(&site, "one").await;

    let traffic = steady(&site, &one, &two.addresses[0].to_string()).await;
    let vm = site.vm("vm1").unwrap();
    let first = vm.agent_pid().await.unwrap();
    vm.kill_agent().await.unwrap();
    eventually("another agent", || async {
        let now = site.vm("vm1").unwrap().agent_pid().await.unwrap();
        if now.is_some() && now != first { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    // It knows again what its predecessor did.
    del(&site, "vm1", "two").await;
    traffic.abort();
    is_over(&site, "two").await;
    reaches_the_bridge(&site, &one).await;
    let two = add(&site, "vm1", "two").await;
    confirmed(&site, "two").await;
    agree(&site).await;

    let traffic = steady(&site, &one, &two.addresses[0].to_string()).await;
    site.kill_daemon().await.unwrap();
    let refused = add_once(&site, "late").await;
    assert!(matches!(&refused, LabError::Cni { code: Some(11), .. }), "{refused}");
    assert!(refused.to_string().contains("host"), "{refused}");
    // What the pod was given is still all it may use.
    let forged = Exec::shell("ip addr add 10.78.77.7/16 dev eth0 && ping -c 1 -W 2 -I 10.78.77.7 10.78.0.1");
    assert!(!site.pod_exec("vm1", "one", forged).await.unwrap().exit.is_success());
    site.pod_exec("vm1", "one", Exec::shell("ip addr del 10.78.77.7/16 dev eth0")).await.unwrap();
    traffic.await.unwrap();
    reaches_the_bridge(&site, &one).await;
    // DEL needs no host; the host hears of it when it is back.
    del(&site, "vm1", "two").await;
    assert_eq!(site.pods("vm1").await.unwrap(), ["one"]);
    site.start_daemon(&[]).await.unwrap();
    is_over(&site, "two").await;
    reaches_the_bridge(&site, &one).await;
    let counted = confirmed(&site, "one").await.guard.unwrap();
    assert!(counted.dropped["source_ipv4"] + counted.dropped["arp"] > 0, "{counted:?}");
    let status = agree(&site).await;
    assert_eq!(status.vms[0].in_use, 1);
    del(&site, "vm1", "one").await;
    agree(&site).await;
    site.down().await;
}

async fn add_once(site: &Site, pod: &str) -> LabError {
    let once = PodOptions { once: true, ..PodOptions::default() };
    site.pod_add("vm1", pod, once).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_that_vanishes_gives_its_nic_back() {
    let site = Site::up(lab("vanish", Vmm::Qemu).nics(2, 8)).await;
    let pod = add(&site, "vm1", "gone").await;
    let taken = confirmed(&site, "gone").await.nic_id;
    reaches_the_bridge(&site, &pod).await;
    cni::drop_sandbox(&site, "vm1", "gone").await.unwrap();
    is_over(&site, "gone").await;
    assert!(spares(&site, "vm1").await.contains(&taken));
    agree(&site).await;
    let next = add(&site, "vm1", "next").await;
    reaches_the_bridge(&site, &next).await;
    // The runtime's DEL comes all the same.
    cni::Call::new("DEL", "gone").run(&site, "vm1").await.unwrap();
    cni::Call::new("DEL", "gone").without("CNI_NETNS").run(&site, "vm1").await.unwrap();
    reaches_the_bridge(&site, &next).await;
    del(&site, "vm1", "next").await;
    agree(&site).await;
    site.holds_no_more_descriptors().await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_stands_still_loses_nothing() {
    let site = Site::up(lab("still", Vmm::Qemu).nics(0, 8)).await;
    let pod = add(&site, "vm1", "one").await;
    let held = confirmed(&site, "one").await;
    let mut monitor = Monitor::connect(&site.vm("vm1").unwrap().qmp_socket()).await;
    monitor.execute("stop", json!({})).await;
    eventually("a paused VM", || async {
        operator::reconcile(&site).await;
        let state = operator::vm(&site, "vm1").await.state;
        if state == "paused" { Ok(()) } else { Err(state) }
    })
    .await;
    // The guest lets go of nothing while it stands still: the NIC is closed at once, and kept back with its addresses.
    assert!(operator::release(&site, "vm1", "one").await);
    let quarantined = eventually("quarantine", || async {
        let vm = operator::vm(&site, "vm1").await;
        if vm.quarantined == 1 { Ok(vm) } else { Err(format!("{vm:?}")) }
    })
    .await;
    assert_eq!(quarantined.nics[0].nic_id, held.nic_id);
    assert_eq!(quarantined.nics[0].addresses.len(), 2);
    monitor.execute("cont", json!({})).await;
    // QEMU serves one caller per monitor.
    drop(monitor);
    let status = agree(&site).await;
    assert!(status.vms[0].nics.is_empty(), "{:?}", status.vms);
    let again = add(&site, "vm1", "two").await;
    assert!(again.addresses.iter().all(|address| !pod.addresses.contains(address)));
    reaches_the_bridge(&site, &again).await;
    del(&site, "vm1", "one").await;
    del(&site, "vm1", "two").await;
    agree(&site).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_vm_takes_its_nics_along_and_nobody_elses() {
    let site = Site::up(lab("killed", Vmm::Qemu).vms(2).nics(1, 8)).await;
    let one = add(&site, "vm1", "one").await;
    add(&site, "vm2", "two").await;
    confirmed(&site, "two").await;
    let qemu = site.vm("vm2").unwrap().process().unwrap();
    tokio::task::spawn_blocking(move || qemu.kill(Duration::from_secs(20))).await.unwrap().unwrap();
    is_over(&site, "two").await;
    let status = agree(&site).await;
    let vm2 = status.vms.iter().find(|vm| vm.name == "vm2").unwrap();
    assert!(vm2.state == "down" && vm2.nics.is_empty(), "{vm2:?}");
    reaches_the_bridge(&site, &one).await;
    del(&site, "vm1", "one").await;
    agree(&site).await;
    site.down().await;
}
