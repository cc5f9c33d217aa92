//! Real labs on this machine: they come up, do what they are told, and leave nothing behind.

use nestless_lab::{Exec, Exit, Lab, LabBuilder, LabError, LabName, Vmm};
use std::{collections::BTreeSet, path::Path};

/// A lab name of this process's own, so that several runs do not meet.
fn name(what: &str) -> String {
    format!("t{}-{what}", std::process::id())
}

fn bare(what: &str, vmm: Vmm) -> LabBuilder {
    Lab::builder(name(what)).vmm(vmm).without_daemon()
}

fn remains(lab: &str) -> BTreeSet<String> {
    nestless_lab::remains(lab).unwrap()
}

async fn does_as_told(lab: &Lab) {
    let output =
        lab.exec("vm1", &Exec::shell("echo out; echo err >&2; cat; exit 7").stdin("in")).await.unwrap();
    assert_eq!(output.exit, Exit::Code(7));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\nin"[..], &b"err\n"[..]));
    let killed = lab.exec("vm1", &Exec::shell("kill -9 $$")).await.unwrap();
    assert_eq!(killed.exit, Exit::Signal(9));
    let missing = lab.exec("vm1", &Exec::new(["no-such-program"])).await.unwrap_err();
    assert!(missing.to_string().contains("no-such-program"), "{missing}");

    let content = vec![b'x'; 300_000];
    lab.vm("vm1").unwrap().write_file("/run/deep/file", content.clone(), 0o640).await.unwrap();
    let read = lab.exec("vm1", &Exec::new(["cat", "/run/deep/file"])).await.unwrap();
    assert!(read.stdout == content, "{} bytes", read.stdout.len());

    let unknown = lab.exec("vm9", &Exec::new(["true"])).await.unwrap_err();
    assert!(matches!(unknown, LabError::NoVm { .. }));
}

async fn pings(lab: &Lab, vm: &str, target: &str) {
    let exec = Exec::new(["busybox", "ping", "-c", "1", "-W", "5", target]);
    lab.exec(vm, &exec).await.unwrap().success(format!("{vm} pings {target}")).unwrap();
}

async fn has_the_network_it_should(lab: &Lab) {
    let second = &lab.vm("vm2").unwrap().addresses()[0];
    pings(lab, "vm1", &second.addr().to_string()).await;
    pings(lab, "vm1", "fd00:78::1").await;
    let first = lab.vm("vm1").unwrap().addresses()[0].addr().to_string();
    let from_host = Exec::new(["busybox", "ping", "-c", "1", "-W", "5", &first]);
    lab.host_exec(&from_host).await.unwrap().success("the host pings vm1").unwrap();
}

async fn reboots(lab: &Lab) {
    let vm = lab.vm("vm1").unwrap();
    vm.write_file("/run/before", "", 0o600).await.unwrap();
    vm.reboot().await.unwrap();
    let gone = lab.exec("vm1", &Exec::new(["test", "-e", "/run/before"])).await.unwrap();
    assert_eq!(gone.exit, Exit::Code(1));
    pings(lab, "vm1", &lab.vm("vm2").unwrap().addresses()[0].addr().to_string()).await;
}

async fn whole_life(what: &str, vmm: Vmm) {
    let lab = bare(what, vmm).up().await.unwrap();
    does_as_told(&lab).await;
    has_the_network_it_should(&lab).await;
    reboots(&lab).await;
    let vm = lab.vm("vm2").unwrap();
    vm.power_off().await.unwrap();
    assert!(!vm.process().unwrap().is_alive());
    assert_ne!(remains(&name(what)), BTreeSet::new());
    lab.down().await.unwrap();
    assert_eq!(remains(&name(what)), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_qemu_lab_lives_and_leaves_nothing() {
    whole_life("qemu", Vmm::Qemu).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_lab_lives_and_leaves_nothing() {
    whole_life("ns", Vmm::Namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_labs_do_not_meet() {
    let (one, two) =
        tokio::try_join!(bare("one", Vmm::Namespace).vms(1).up(), bare("two", Vmm::Namespace).vms(1).up())
            .unwrap();
    let again = bare("one", Vmm::Namespace).up().await.unwrap_err();
    assert!(matches!(again, LabError::Exists { .. }), "{again}");
    assert_eq!(one.vms()[0].addresses(), two.vms()[0].addresses());
    one.vms()[0].write_file("/etc/of-one", "", 0o600).await.unwrap();
    let seen = two.exec("vm1", &Exec::new(["test", "-e", "/etc/of-one"])).await.unwrap();
    assert_eq!(seen.exit, Exit::Code(1));
    assert!(!Path::new("/etc/of-one").exists());
    one.down().await.unwrap();
    pings(&two, "vm1", "10.78.0.1").await;
    // Dropping is enough.
    drop(two);
    assert_eq!(remains(&name("one")), BTreeSet::new());
    assert_eq!(remains(&name("two")), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lab_given_up_half_way_leaves_nothing() {
    let steps = std::sync::Arc::new(tokio::sync::Notify::new());
    let reached = std::sync::Arc::clone(&steps);
    let progress = nestless_lab::Progress::to(move |step| {
        if step.starts_with("boot") {
            reached.notify_one();
        }
    });
    let building = bare("half", Vmm::Qemu).vms(1).progress(progress).up();
    tokio::select! {
        lab = building => panic!("up before it was given up: {lab:?}"),
        () = steps.notified() => {}
    }
    assert_eq!(remains(&name("half")), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_lab_stays_and_is_found_again() {
    let lab = bare("stay", Vmm::Namespace).vms(1).up_detached().await.unwrap();
    drop(lab);
    let lab = LabName::new(name("stay")).unwrap();
    let listed = nestless_lab::list().unwrap().into_iter().find(|listed| listed.lab == lab).unwrap();
    assert_eq!(listed.condition, "running");
    let found = Lab::open(&lab).unwrap();
    assert_eq!(found.exec("vm1", &Exec::new(["hostname"])).await.unwrap().text(), "vm1");
    assert!(nestless_lab::remove(&lab).unwrap());
    assert_eq!(remains(lab.as_str()), BTreeSet::new());
    assert!(!nestless_lab::remove(&lab).unwrap());
    assert!(matches!(Lab::open(&lab), Err(LabError::NoLab { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_pods_reach_the_outside_through_a_namespace_vm() {
    classic_pods("cns", Vmm::Namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_pods_reach_the_outside_through_a_qemu_vm() {
    classic_pods("cq", Vmm::Qemu).await;
}

async fn classic_pods(what: &str, vmm: Vmm) {
    let lab = bare(what, vmm).vms(1).programs(["ip", "nft"]).up().await.unwrap();
    let options = nestless_lab::PodOptions::classic;
    let one = lab.pod_add("vm1", "one", options()).await.unwrap();
    let two = lab.pod_add("vm1", "two", options()).await.unwrap();
    assert_ne!(one.addresses, two.addresses);
    let ping = |target: &str| Exec::new(["busybox", "ping", "-c", "1", "-W", "5", target]);
    for target in [two.addresses[0].to_string(), "10.78.0.1".to_owned()] {
        let output = lab.pod_exec("vm1", "one", ping(&target)).await.unwrap();
        output.success(format!("a pod pings {target}")).unwrap();
    }
    assert_eq!(lab.pods("vm1").await.unwrap(), ["one", "two"]);
    let again = lab.pod_add("vm1", "two", options()).await.unwrap_err();
    assert!(matches!(again, LabError::PodExists { .. }), "{again}");
    lab.pod_exec("vm1", "two", ping("10.78.0.1")).await.unwrap().success("it is as it was").unwrap();
    lab.pod_del("vm1", "one", options()).await.unwrap();
    let none = lab.pod_del("vm1", "one", options()).await.unwrap_err();
    assert!(matches!(none, LabError::NoPod { .. }), "{none}");
    assert_eq!(lab.pods("vm1").await.unwrap(), ["two"]);
    lab.down().await.unwrap();
    assert_eq!(remains(&name(what)), BTreeSet::new());
}
