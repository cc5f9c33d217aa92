//! A real container runtime makes pods through the plugin: Debian's containerd and runc, driven over the Container Runtime
//! Interface as kubelet does it, in a real QEMU guest.

mod image;
mod runtime;

use nestless_lab::{Exec, Vmm};
use nestless_test::{Site, agree, lab, operator};
use runtime::{CriPod, PROGRAMS, Runtime, Wish};

/// The addresses that the runtime tells are those of the sandbox's own NIC, and the pod has them.
async fn is_brfusion(site: &Site, runtime: &mut Runtime<'_>, pod: &CriPod) {
    let nic = operator::nic_of(site, &pod.sandbox).await.expect("a NIC of its own");
    let given: Vec<&str> = nic.addresses.iter().filter_map(|a| a.split('/').next()).collect();
    assert_eq!(pod.addresses.len(), 2, "{pod:?}");
    assert!(pod.addresses.iter().all(|address| given.contains(&address.as_str())), "{pod:?} {nic:?}");
    assert_eq!(nic.pod.map(|pod| pod.namespace).as_deref(), Some("default"));
    let link = runtime.exec(pod, "ip -o link show eth0").await;
    assert!(link.contains(&nic.pod_mac), "{link}, not {}", nic.pod_mac);
}

async fn pings(runtime: &mut Runtime<'_>, from: &CriPod, to: &CriPod) {
    for address in &to.addresses {
        runtime.exec(from, &format!("ping -c 1 -W 10 {address}")).await;
    }
}

/// A page that tells whose it is, on port 80.
async fn serves_page(runtime: &mut Runtime<'_>, pod: &CriPod, page: &str) {
    runtime.exec(pod, &format!("mkdir -p /tmp/www && echo {page} >/tmp/www/name")).await;
    runtime.exec(pod, "httpd -p 80 -h /tmp/www").await;
}

async fn dropped_egress(site: &Site, pod: &CriPod) -> u64 {
    let nic = operator::nic_of(site, &pod.sandbox).await.expect("a NIC of its own");
    nic.guard.unwrap_or_default().dropped.get("egress_rate").copied().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containerd_makes_pods() {
    let builder = lab("ctrd", Vmm::Qemu).size(1, 1024).nics(1, 8).programs(PROGRAMS);
    let site = Site::up(builder).await;
    let mut runtime = Runtime::install(&site, "vm1").await;
    let mapped = Wish { ports: vec![(8080, 80)], ..Wish::default() };
    let limited = Wish { annotations: vec![("kubernetes.io/egress-bandwidth", "4M")], ..Wish::default() };
    let web = runtime.pod("web", &mapped).await;
    let slow = runtime.pod("slow", &limited).await;
    for pod in [&web, &slow] {
        is_brfusion(&site, &mut runtime, pod).await;
    }
    pings(&mut runtime, &web, &slow).await;
    pings(&mut runtime, &slow, &web).await;
    serves_page(&mut runtime, &web, "web").await;
    let page = format!("wget -q -O - http://{}/name", web.addresses[0]);
    assert_eq!(runtime.exec(&slow, &page).await, "web");

    a_host_port_leads_to_the_pod(&site).await;
    bandwidth_is_limited(&site, &mut runtime, &slow, &web).await;

    runtime.crash().await;
    let known = runtime.status(&web.sandbox).await;
    assert_eq!((known.state, known.network.map(|n| n.ip)), (0, Some(web.addresses[0].clone())));
    is_brfusion(&site, &mut runtime, &web).await;
    assert_eq!(runtime.exec(&slow, &page).await, "web");

    a_vanished_sandbox_is_cleaned_up(&site, &mut runtime).await;

    for pod in [web, slow] {
        runtime.stop(&pod.sandbox).await.unwrap();
        operator::is_over(&site, &pod.sandbox).await;
        // kubelet stops what it removes once more.
        runtime.stop(&pod.sandbox).await.unwrap();
        runtime.remove(&pod.sandbox).await.unwrap();
    }
    let status = agree(&site).await;
    assert!(status.vms[0].in_use == 0, "{:?}", status.vms);
    site.down().await;
}

/// `portMappings`: from outside of the VM.
async fn a_host_port_leads_to_the_pod(site: &Site) {
    let vm = site.vm("vm1").unwrap().addresses()[0].addr();
    let exec = Exec::new(["busybox", "wget", "-q", "-O", "-", &format!("http://{vm}:8080/name")]);
    let output = site.host_exec(&exec).await.unwrap().success("get the page through the VM's port").unwrap();
    assert_eq!(output.text(), "web");
}

/// `bandwidth`: what is beyond the limit is dropped on the host, for the pod that has one.
async fn bandwidth_is_limited(site: &Site, runtime: &mut Runtime<'_>, slow: &CriPod, other: &CriPod) {
    serves_page(runtime, slow, "slow").await;
    runtime.exec(slow, "dd if=/dev/zero of=/tmp/www/much bs=1024 count=1024").await;
    let line = format!("wget -q -O /dev/null http://{}/much", slow.addresses[0]);
    runtime.exec(other, &line).await;
    assert!(dropped_egress(site, slow).await > 0, "{:?}", operator::nic_of(site, &slow.sandbox).await);
    assert_eq!(dropped_egress(site, other).await, 0);
}

/// A sandbox that goes without a DEL, as after a crash of the node's software: the agent sees it, and the NIC is free again.
async fn a_vanished_sandbox_is_cleaned_up(site: &Site, runtime: &mut Runtime<'_>) {
    let sandbox = runtime.sandbox("lost", &Wish::default()).await.unwrap();
    assert!(operator::nic_of(site, &sandbox).await.is_some());
    // Lazily, as runtimes and `ip netns` do: the agent may have the sandbox open, to announce its addresses once more.
    let kill = format!(
        "for n in /run/netns/cni-*; do \
           ip -n ${{n##*/}} -o link show eth0 | grep -q {mac} || continue; \
           kill -9 $(ip netns pids ${{n##*/}}) && umount -l $n && rm $n; exit; \
         done; exit 1",
        mac = operator::nic_of(site, &sandbox).await.unwrap().pod_mac,
    );
    site.exec("vm1", &Exec::shell(&kill)).await.unwrap().success("take the sandbox away").unwrap();
    operator::is_over(site, &sandbox).await;
    runtime.stop(&sandbox).await.unwrap();
    runtime.remove(&sandbox).await.unwrap();
}
