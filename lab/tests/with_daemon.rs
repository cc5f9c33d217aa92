//! Labs with nestlessd and agents, which must have been built (`cargo build --bins`).

use nestless_lab::{Exec, Exit, Lab, LabError, PodOptions, Vmm};

fn ping(target: &str) -> Exec {
    Exec::new(["ping", "-c", "2", "-W", "5", target])
}

async fn pods_meet(lab: &Lab) {
    let one = lab.pod_add("vm1", "one", PodOptions::default()).await.unwrap();
    let two = lab.pod_add("vm2", "two", PodOptions::default()).await.unwrap();
    assert_eq!(one.addresses.len(), 2, "{}", one.result);
    for address in &two.addresses {
        let output = lab.pod_exec("vm1", "one", ping(&address.to_string())).await.unwrap();
        output.success(format!("one pings two at {address}")).unwrap();
    }
    let again = lab.pod_add("vm2", "two", PodOptions::default()).await.unwrap_err();
    assert!(matches!(again, LabError::PodExists { .. }), "{again}");
    let output = lab.pod_exec("vm1", "one", ping(&two.addresses[0].to_string())).await.unwrap();
    output.success("one pings two, which is as it was").unwrap();
    lab.pod_del("vm1", "one", PodOptions::default()).await.unwrap();
    let none = lab.pod_del("vm1", "one", PodOptions::default()).await.unwrap_err();
    assert!(matches!(none, LabError::NoPod { .. }), "{none}");
    assert_eq!(lab.pods("vm1").await.unwrap(), [""; 0]);
    assert_eq!(lab.pods("vm2").await.unwrap(), ["two"]);
}

async fn a_refusal_leaves_no_pod(lab: &Lab) {
    let mut options = PodOptions::default();
    options.config.insert("network".into(), "no-such-network".into());
    let error = lab.pod_add("vm1", "bad", options).await.unwrap_err();
    assert!(matches!(&error, LabError::Cni { command: "ADD", .. }), "{error}");
    assert!(error.to_string().contains("no-such-network"), "{error}");
    assert_eq!(lab.pods("vm1").await.unwrap(), [""; 0]);
}

async fn the_agent_is_kept(lab: &Lab) {
    let vm = lab.vm("vm1").unwrap();
    let before = vm.agent_pid().await.unwrap().unwrap();
    vm.stop_agent().await.unwrap();
    assert_eq!(vm.agent_pid().await.unwrap(), None);
    let at_once = PodOptions { once: true, ..PodOptions::default() };
    let error = lab.pod_add("vm1", "after", at_once).await.unwrap_err();
    assert!(matches!(&error, LabError::Cni { code: Some(11), .. }), "{error}");
    vm.start_agent().await.unwrap();
    let connected = lab.pod_add("vm1", "after", PodOptions::default()).await;
    assert_ne!(vm.agent_pid().await.unwrap(), Some(before));
    connected.unwrap();
}

async fn life(name: &str, vmm: Vmm) {
    let lab = Lab::builder(format!("t{}-{name}", std::process::id())).vmm(vmm).up().await.unwrap();
    pods_meet(&lab).await;
    a_refusal_leaves_no_pod(&lab).await;
    the_agent_is_kept(&lab).await;
    let unknown = lab.host_exec(&Exec::shell("exit 3")).await.unwrap();
    assert_eq!(unknown.exit, Exit::Code(3));
    let (dir, pins) = (lab.dir(), format!("/sys/fs/bpf/nestless/lab-{}", lab.name()));
    lab.down().await.unwrap();
    assert!(!dir.exists() && !std::path::Path::new(&pins).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_in_namespace_vms() {
    life("nspods", Vmm::Namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_in_qemu_vms() {
    life("qemupods", Vmm::Qemu).await;
}
