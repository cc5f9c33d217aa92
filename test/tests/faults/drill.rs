//! nestlessd dies at every single step of attach and detach, cold and warm, and everything is as it should be once it
//! runs again. The steps are not listed here: a clean run tells them.

use nestless_lab::{Exec, GuestClient, Pod, Vmm};
use nestless_test::{
    Call, Failure, PATIENCE, Site, agree, cni, eventually,
    fault::Faults,
    lab, operator,
    traffic::{self, GATEWAYS},
};
use serde_json::Value;

/// What the daemon is killed in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Attach,
    Detach,
}

struct Drill {
    site: Site,
    faults: Faults,
    containers: u32,
}

impl Drill {
    /// A lab with one pod that lives through everything.
    async fn begin(what: &str, vmm: Vmm, warm: u32) -> Self {
        let faults = Faults::new();
        let site = Site::up(faults.listened_to_by(lab(what, vmm).nics(warm, 8))).await;
        let drill = Self { site, faults, containers: 0 };
        drill.add("resident").await;
        if warm > 0 {
            // From now on the pool holds one more than its least, and an attach plugs nothing.
            drill.operate(Operation::Attach, "first").await.unwrap();
            drill.operate(Operation::Detach, "first").await.unwrap();
        }
        operator::settled(&drill.site).await;
        drill
    }

    fn next(&mut self) -> String {
        self.containers += 1;
        format!("c{}", self.containers)
    }

    async fn add(&self, container: &str) {
        cni::sandbox(&self.site, "vm1", container).await.unwrap();
        Call::new("ADD", container).insist(&self.site, "vm1").await.unwrap();
        self.confirmed(container).await;
    }

    async fn confirmed(&self, container: &str) {
        eventually("a confirmed NIC", || async {
            let nic = operator::nic_of(&self.site, container).await;
            nic.filter(|nic| nic.phase == "InUse").map(drop).ok_or_else(|| format!("no NIC of {container}"))
        })
        .await;
    }

    async fn is_gone(&self, container: &str) {
        eventually("the attachment's end", || async {
            operator::nic_of(&self.site, container).await.map_or(Ok(()), |nic| Err(format!("{nic:?}")))
        })
        .await;
    }

    /// What a runtime does. A sandbox is there before an ADD, and goes after a DEL.
    async fn operate(&self, operation: Operation, container: &str) -> Result<(), Failure> {
        match operation {
            Operation::Attach => {
                cni::sandbox(&self.site, "vm1", container).await.unwrap();
                Call::new("ADD", container).run(&self.site, "vm1").await?;
                self.confirmed(container).await;
            }
            Operation::Detach => {
                Call::new("DEL", container).run(&self.site, "vm1").await?;
                cni::drop_sandbox(&self.site, "vm1", container).await.unwrap();
            }
        }
        Ok(())
    }

    /// The steps of a clean run.
    async fn learn(&mut self, operation: Operation) -> Vec<String> {
        let container = self.next();
        if operation == Operation::Detach {
            self.operate(Operation::Attach, &container).await.unwrap();
            operator::settled(&self.site).await;
        }
        self.faults.begin();
        self.operate(operation, &container).await.unwrap();
        operator::settled(&self.site).await;
        let steps = self.faults.end();
        if operation == Operation::Attach {
            self.operate(Operation::Detach, &container).await.unwrap();
        }
        assert!(steps.iter().any(|step| step.starts_with("ledger.commit")), "{steps:?}");
        // Looks happen whenever it is time for one, and change nothing.
        steps.into_iter().filter(|step| !step.contains("query") && !step.contains("qom")).collect()
    }

    async fn every_step(&mut self, operation: Operation) {
        operator::settled(&self.site).await;
        let steps = self.learn(operation).await;
        eprintln!("{operation:?}: {} steps: {}", steps.len(), steps.join(" "));
        for step in steps {
            self.die_at(operation, &step).await;
        }
    }

    async fn die_at(&mut self, operation: Operation, step: &str) {
        let container = self.next();
        operator::settled(&self.site).await;
        match operation {
            Operation::Attach => cni::sandbox(&self.site, "vm1", &container).await.unwrap(),
            Operation::Detach => self.operate(Operation::Attach, &container).await.unwrap(),
        }
        operator::settled(&self.site).await;
        let command = if operation == Operation::Attach { "ADD" } else { "DEL" };
        let client = self.site.vm("vm1").unwrap().client().await.unwrap();
        self.faults.arm(step);
        let call = tokio::spawn(calling(client, Call::new(command, &container)));
        let ended = self.site.daemon_ended(PATIENCE).await;
        ended.unwrap_or_else(|error| panic!("{operation:?}: {step} was not reached again: {error:?}"));
        self.faults.end();
        self.site.start_daemon(&[]).await.unwrap();
        let first = call.await.unwrap();
        eprintln!(
            "{operation:?} {step}: {}",
            first.as_ref().map_or_else(ToString::to_string, |_| "done".into())
        );
        match operation {
            Operation::Attach => self.finish_attach(&container, step, first).await,
            Operation::Detach => {
                // DEL succeeds whatever the host is doing.
                first.unwrap_or_else(|failure| panic!("{step}: {failure}"));
                self.is_gone(&container).await;
                cni::drop_sandbox(&self.site, "vm1", &container).await.unwrap();
            }
        }
        self.pings("resident").await;
        let status = agree(&self.site).await;
        assert_eq!(status.vms[0].in_use, 1, "{step}: {status:?}");
    }

    async fn finish_attach(&self, container: &str, step: &str, first: Result<Value, Failure>) {
        if let Err(failure) = first {
            // The agent repeats its request under the same id until the daemon is back, which serves it once. Only a daemon
            // that does not come back in time is no longer waited for.
            assert_eq!(failure.code, cni::TRY_AGAIN, "{step}: {failure}");
            // As a kubelet does: the sandbox is torn down and the call made once more.
            Call::new("DEL", container).insist(&self.site, "vm1").await.unwrap();
            Call::new("ADD", container).insist(&self.site, "vm1").await.unwrap();
        }
        self.confirmed(container).await;
        self.pings(container).await;
        let status = agree(&self.site).await;
        assert_eq!(status.vms[0].in_use, 2, "{step}: {status:?}");
        self.operate(Operation::Detach, container).await.unwrap();
        self.is_gone(container).await;
    }

    async fn pings(&self, container: &str) {
        for gateway in GATEWAYS {
            let output = self.site.pod_exec("vm1", container, traffic::ping(gateway)).await.unwrap();
            output.success(format!("{container} pings {gateway}")).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    async fn end(self) {
        self.operate(Operation::Detach, "resident").await.unwrap();
        agree(&self.site).await;
        self.site.down().await;
    }
}

async fn calling(client: GuestClient, call: Call) -> Result<Value, Failure> {
    cni::answer(&client.exec(&call.exec()).await.expect("the plugin can be run"))
}

async fn every_step(what: &str, vmm: Vmm, warm: u32) {
    let mut drill = Drill::begin(what, vmm, warm).await;
    drill.every_step(Operation::Attach).await;
    drill.every_step(Operation::Detach).await;
    drill.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_cold_step_of_a_namespace_vm() {
    every_step("fcn", Vmm::Namespace, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_warm_step_of_a_namespace_vm() {
    every_step("fwn", Vmm::Namespace, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_cold_step_of_a_real_vm() {
    every_step("fcq", Vmm::Qemu, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_dies_at_every_warm_step_of_a_real_vm() {
    every_step("fwq", Vmm::Qemu, 1).await;
}

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
        let container = format!("c{round}");
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
                    Call::new("DEL", &container).insist(&site, "vm1").await.unwrap();
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
