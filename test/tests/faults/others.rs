//! The agent dies at random moments, and QEMU while pods come.

use super::drill::calling;
use nestless_lab::{Exec, Pod, Vmm};
use nestless_test::{
    Call, PATIENCE, Site, agree, cni, eventually, lab, operator,
    traffic::{self, GATEWAYS},
};

/// Moments to wait, the same in every run.
struct Moments(u64);

impl Moments {
    fn next_ms(&mut self, below: u64) -> std::time::Duration {
        // Knuth's MMIX constants.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::time::Duration::from_millis((self.0 >> 33) % below)
    }
}

async fn agent_dies(what: &str, vmm: Vmm, rounds: u32) {
    let site = Site::up(lab(what, vmm).nics(1, 8)).await;
    let mut moments = Moments(0x5eed);
    let resident: Pod = site.pod_add("vm1", "resident", Default::default()).await.unwrap();
    for round in 0..rounds {
        let mut container = format!("c{round}");
        cni::sandbox(&site, "vm1", &container).await.unwrap();
        for command in ["ADD", "DEL"] {
            let client = site.vm("vm1").unwrap().client().await.unwrap();
            let call = tokio::spawn(calling(client, Call::new(command, &container)));
            // A random moment within the operation is the point here; nothing tells when it has come.
            tokio::time::sleep(moments.next_ms(150)).await;
            site.vm("vm1").unwrap().kill_agent().await.unwrap();
            if let Err(failure) = call.await.unwrap() {
                assert_eq!(failure.code, cni::TRY_AGAIN, "{command} {container}: {failure}");
                if command == "ADD" {
                    // As runtimes do. A DEL that finds no agent is left to the sandbox's end, so the next try is another pod.
                    Call::new("DEL", &container).insist(&site, "vm1").await.unwrap();
                    cni::drop_sandbox(&site, "vm1", &container).await.unwrap();
                    container = format!("again{round}");
                    cni::sandbox(&site, "vm1", &container).await.unwrap();
                }
                Call::new(command, &container).insist(&site, "vm1").await.unwrap();
            }
            if command == "ADD" {
                let ping = site.pod_exec("vm1", &container, traffic::ping(GATEWAYS[0])).await.unwrap();
                ping.success(format!("{container} pings")).unwrap_or_else(|error| panic!("{error}"));
            }
        }
        cni::drop_sandbox(&site, "vm1", &container).await.unwrap();
    }
    traffic::reaches_the_bridge(&site, &resident).await;
    // A DEL that found no agent is carried out by the next one.
    eventually("the end of all pods but one", || async {
        let vm = operator::vm(&site, "vm1").await;
        if vm.in_use == 1 { Ok(()) } else { Err(format!("{vm:?}")) }
    })
    .await;
    let status = agree(&site).await;
    assert_eq!(status.vms[0].in_use, 1, "{status:?}");
    // The port forwarding table and the sandboxes hold nothing of dead pods either.
    assert_eq!(site.pods("vm1").await.unwrap(), ["resident"]);
    site.pod_del("vm1", "resident", Default::default()).await.unwrap();
    agree(&site).await;
    site.holds_no_more_descriptors().await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_dies_at_random_moments_in_a_namespace_vm() {
    agent_dies("fan", Vmm::Namespace, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_dies_at_random_moments_in_a_real_vm() {
    agent_dies("faq", Vmm::Qemu, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemu_dies_while_pods_come() {
    let site = Site::up(lab("fq", Vmm::Qemu).vms(3).nics(0, 8)).await;
    let survivor = site.pod_add("vm1", "survivor", Default::default()).await.unwrap();
    for (vm, moment_ms) in [("vm2", 30), ("vm3", 110)] {
        let client = site.vm(vm).unwrap().client().await.unwrap();
        let adding = tokio::spawn(async move {
            for number in 0..6 {
                let name = format!("c{number}");
                let namespace = Exec::shell(format!("ip netns add {name} 2>/dev/null || true"));
                let _ = client.exec(&namespace).await;
                let _ = client.add_namespace(&name).await;
                let _ = client.exec(&Call::new("ADD", &name).exec()).await;
            }
        });
        eventually("the first NIC", || async {
            let nics = operator::vm(&site, vm).await.nics.len();
            if nics > 0 { Ok(()) } else { Err("none".to_owned()) }
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_millis(moment_ms)).await;
        let qemu = site.vm(vm).unwrap().process().unwrap();
        tokio::task::spawn_blocking(move || qemu.kill(PATIENCE)).await.unwrap().unwrap();
        eventually("nothing left of it", || async {
            operator::reconcile(&site).await;
            let vm = operator::vm(&site, vm).await;
            if vm.state == "down" && vm.nics.is_empty() { Ok(()) } else { Err(format!("{vm:?}")) }
        })
        .await;
        adding.abort();
    }
    traffic::reaches_the_bridge(&site, &survivor).await;
    let status = agree(&site).await;
    assert_eq!(status.vms.iter().map(|vm| vm.in_use).sum::<u32>(), 1);
    site.pod_del("vm1", "survivor", Default::default()).await.unwrap();
    agree(&site).await;
    site.down().await;
}
