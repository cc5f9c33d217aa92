//! Whoever builds or owns a lab is killed: what it leaves is found and removed.
//!
//! The victim is this same test program, started again with [`VICTIM`] set.

use nestless_lab::{Lab, LabName, LabState, Progress, Vmm};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Holds the lab's name in the victim's environment.
const VICTIM: &str = "NESTLESS_TEST_VICTIM";
const MARK: &str = "victim: ";

fn own_name(what: &str) -> LabName {
    LabName::new(format!("t{}-{what}", std::process::id())).unwrap()
}

/// Starts the test called `test` as the victim, and returns when it has said `word`.
fn victim(test: &str, lab: &LabName, word: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(VICTIM, lab.as_str())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines
        .map_while(Result::ok)
        .any(|line| line.split_once(MARK).is_some_and(|(_, w)| w.starts_with(word)));
    assert!(said, "the victim ended before it said {word:?}");
    child
}

#[expect(clippy::print_stdout, reason = "the test that started this one reads it")]
fn say(word: &str) {
    println!("\n{MARK}{word}");
}

fn state(lab: &LabName) -> LabState {
    nestless_lab::list().unwrap().into_iter().find(|l| l.lab == *lab).unwrap().state.unwrap()
}

fn nothing_is_left(lab: &LabName, before: &LabState) {
    for path in [lab.dir(), lab.host_namespace(), lab.dir().with_extension("lock")] {
        assert!(!path.exists(), "{}", path.display());
    }
    for vm in &before.vms {
        assert!(!lab.vm_namespace(&vm.name).exists());
        assert!(!vm.process.is_some_and(|process| process.is_alive()));
    }
}

/// The lab that the test called `test` was building as the victim when it was killed, at `step`, and what it left.
fn killed(test: &str, lab: &str, step: &str) -> (LabName, LabState) {
    let lab = own_name(lab);
    let mut child = victim(test, &lab, step);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = state(&lab);
    (lab, left)
}

#[test]
fn killed_while_it_builds() {
    if let Ok(lab) = std::env::var(VICTIM) {
        return build(&lab, Vmm::Qemu);
    }
    let (lab, left) = killed("killed_while_it_builds", "kill", "boot");
    assert!(!left.ready && left.vms.iter().all(|vm| vm.process.unwrap().is_alive()));
    assert!(nestless_lab::remove(&lab).unwrap());
    nothing_is_left(&lab, &left);
}

#[test]
fn killed_before_it_has_written_anything_of_a_vm() {
    if let Ok(lab) = std::env::var(VICTIM) {
        return build(&lab, Vmm::Namespace);
    }
    let (lab, left) = killed("killed_before_it_has_written_anything_of_a_vm", "early", "start vm1");
    assert!(nestless_lab::remove(&lab).unwrap());
    nothing_is_left(&lab, &left);
}

fn build(lab: &str, vmm: Vmm) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let progress = Progress::to(say);
    let lab =
        runtime.block_on(Lab::builder(lab).vmm(vmm).vms(1).without_daemon().progress(progress).up_detached());
    // Reached when the killer is slow; the lab stays for it to remove.
    drop(lab.unwrap());
    loop {
        std::thread::park();
    }
}

#[test]
fn a_foreground_labs_vms_die_with_their_owner() {
    if let Ok(lab) = std::env::var(VICTIM) {
        return own(&lab);
    }
    let lab = own_name("owner");
    let mut child = victim("a_foreground_labs_vms_die_with_their_owner", &lab, "up");
    let left = state(&lab);
    // Nobody takes it from its owner.
    assert!(nestless_lab::remove(&lab).is_err());
    assert!(Path::new(&lab.dir()).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    for vm in &left.vms {
        vm.process.unwrap().wait(Duration::from_secs(20)).unwrap();
    }
    assert!(nestless_lab::remove(&lab).unwrap());
    nothing_is_left(&lab, &left);
}

fn own(lab: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _lab = runtime.block_on(Lab::builder(lab).vmm(Vmm::Namespace).vms(2).without_daemon().up()).unwrap();
    say("up");
    loop {
        std::thread::park();
    }
}
