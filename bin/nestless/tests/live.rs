//! What the command says of a lab that runs, or does not any more.

use nestless_lab::{Exec, Lab, LabName, Output, PodOptions, Vmm};
use serde_json::Value;
use std::{process::Command, time::Duration};

fn name(what: &str) -> String {
    format!("t{}-{what}", std::process::id())
}

fn nestless(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_nestless")).args(arguments).output().unwrap()
}

fn told(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn lab(what: &str) -> Lab {
    Lab::builder(name(what)).vmm(Vmm::Namespace).vms(1).up().await.unwrap()
}

/// In the VM, as its administrator runs it.
async fn inside(lab: &Lab, line: &str) -> Output {
    lab.exec("vm1", &Exec::shell(line)).await.unwrap()
}

/// The verdict of each check that has this name.
fn verdicts(report: &[u8], name: &str) -> Vec<String> {
    let report: Value = serde_json::from_slice(report).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let of_name = checks.iter().filter(|check| check["name"] == name);
    of_name.map(|check| check["verdict"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_asks_the_daemon_and_its_vms() {
    let mut lab = lab("host").await;
    let lab_name = lab.name().to_string();
    let doctor = || nestless(&["doctor", "--lab", &lab_name, "--json"]).stdout;
    let waited = nestless(&["status", "--lab", &lab_name, "--wait", "60"]);
    assert!(waited.status.success(), "{}", told(&waited));
    for check in ["nestlessd", "configuration", "vm vm1"] {
        assert_eq!(verdicts(&doctor(), check), ["ok"], "{check}");
    }

    lab.vm("vm1").unwrap().stop_agent().await.unwrap();
    let waited = nestless(&["status", "--lab", &lab_name, "--wait", "1"]);
    assert_eq!(waited.status.code(), Some(1));
    assert!(told(&waited).contains("not ready: VM vm1: its agent is not connected"), "{}", told(&waited));
    assert_eq!(verdicts(&doctor(), "vm vm1"), ["missing"]);
    lab.vm("vm1").unwrap().start_agent().await.unwrap();
    let waited = nestless(&["status", "--lab", &lab_name, "--wait"]);
    assert!(waited.status.success(), "{}", told(&waited));

    lab.kill_daemon().await.unwrap();
    assert_eq!(verdicts(&doctor(), "nestlessd"), ["missing"]);
    assert_eq!(nestless(&["doctor", "--lab", &lab_name]).status.code(), Some(1));
    let waited = nestless(&["status", "--lab", &lab_name, "--wait", "1"]);
    assert!(!waited.status.success() && told(&waited).contains("no nestlessd listens"), "{}", told(&waited));
    lab.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_in_a_guest_asks_the_agent_and_tries_the_gateways() {
    let mut lab = lab("guest").await;
    let doctor = async |lab: &Lab| inside(lab, "nestless doctor --guest --json").await.stdout;
    assert_eq!(verdicts(&doctor(&lab).await, "agent"), ["ok"]);
    assert_eq!(verdicts(&doctor(&lab).await, "gateway"), ["optional"], "there is no pod");
    lab.pod_add("vm1", "web", PodOptions::default()).await.unwrap();
    assert_eq!(verdicts(&doctor(&lab).await, "gateway"), ["ok", "ok"], "one of each family");
    let deaf = Exec::shell("ip link set nestless0 down");
    lab.host_exec(&deaf).await.unwrap().success("take the bridge down").unwrap();
    assert_eq!(verdicts(&doctor(&lab).await, "gateway"), ["missing", "missing"]);

    lab.kill_daemon().await.unwrap();
    assert_eq!(verdicts(&doctor(&lab).await, "agent"), ["missing"], "its host does not answer");
    lab.vm("vm1").unwrap().stop_agent().await.unwrap();
    let report = doctor(&lab).await;
    assert_eq!(verdicts(&report, "agent"), ["missing"]);
    assert_eq!(serde_json::from_slice::<Value>(&report).unwrap()["ok"], false);
    lab.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_between_two_pods_is_tried_and_nothing_is_left() {
    let lab = lab("ways").await;
    let output = inside(&lab, "nestless connectivity-test --json").await;
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["ok"], true, "{report:#}");
    let ways = report["ways"].as_array().unwrap();
    let count = |way: &str| ways.iter().filter(|w| w["way"] == way && w["outcome"] == "works").count();
    // By TCP and UDP, IPv4 and IPv6, and both ways.
    assert_eq!((count("pod to pod"), count("localhost of a split pod")), (8, 8), "{report:#}");
    assert_eq!((count("pod to gateway"), count("VM to pod")), (2, 2), "{report:#}");
    assert!(count("pod to a port of the VM") >= 2, "{report:#}");
    assert_eq!(lab.pods("vm1").await.unwrap(), [""; 0]);

    // A way that does not work is told, and everything is removed all the same.
    let deaf = Exec::shell(
        "nft add table inet deaf; nft add chain inet deaf input '{ type filter hook input priority 0; }'; \
         nft add rule inet deaf input icmp type echo-request drop",
    );
    lab.host_exec(&deaf).await.unwrap().success("make the gateway deaf").unwrap();
    let output = inside(&lab, "nestless connectivity-test").await;
    assert!(
        !output.exit.is_success() && output.text().contains("FAILED: 10.78.0.1 does not answer"),
        "{}",
        output.text()
    );
    assert_eq!(lab.pods("vm1").await.unwrap(), [""; 0]);

    let interrupted = "nestless connectivity-test & test=$!
        while ! ls /run/netns/nestless-test-* >/dev/null 2>&1; do :; done
        kill -INT $test; wait $test";
    let output = inside(&lab, interrupted).await;
    assert_eq!(output.exit, nestless_lab::Exit::Code(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(inside(&lab, "ls /run/netns; ls /run/nestless/attachments").await.text(), "");
    lab.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_speaks_of_what_there_is() {
    let lab = lab("trace").await;
    let pod = lab.pod_add("vm1", "web", PodOptions::default()).await.unwrap();
    let output = nestless(&["trace", "--lab", lab.name().as_str(), &pod.ipv4().unwrap().to_string()]);
    let told = told(&output);
    assert!(output.status.success() && told.contains("veth"), "{told}");
    for absent in ["virtio", "tap", "TAP"] {
        assert!(!told.contains(absent), "{told}");
    }
    lab.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_that_is_not_there_says_why() {
    let lab = lab("why").await;
    let config = lab.dir().join("nestlessd.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let vm = "[[vm]]\nname = \"absent\"\nhypervisor = { qemu = { qmp = \"/no/such/folder/qmp\" } }\n\
              channel = { serial = \"/no/such/folder/channel\" }\n";
    std::fs::write(&config, format!("{text}\n{vm}")).unwrap();
    let daemon = lab.daemon().unwrap().pid.to_string();
    assert!(Command::new("kill").args(["-HUP", &daemon]).status().unwrap().success());
    let listed = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let output = nestless(&["vm", "ls", "--lab", lab.name().as_str(), "--json"]);
            let vms: Value = serde_json::from_slice(&output.stdout).unwrap();
            let vms = vms.as_array().unwrap().clone();
            if let Some(vm) = vms.into_iter().find(|vm| vm["name"] == "absent" && vm["channel_trouble"] != "")
            {
                return vm;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let vm = listed.await.unwrap();
    assert_eq!(vm["state"], "down");
    for key in ["trouble", "channel_trouble"] {
        assert!(vm[key].as_str().unwrap().contains("no folder /no/such/folder"), "{vm:#}");
    }
    let status = nestless(&["status", "--lab", lab.name().as_str()]);
    assert!(told(&status).contains("VM absent: down: there is no /no/such/folder/qmp"), "{}", told(&status));
    lab.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lab_whose_daemon_was_killed_is_not_called_running() {
    let lab = Lab::builder(name("ls")).vmm(Vmm::Namespace).vms(1).up_detached().await.unwrap();
    let listed = || {
        let output = nestless(&["lab", "ls"]);
        let text = told(&output);
        text.lines().find(|line| line.starts_with(lab.name().as_str())).unwrap().to_owned()
    };
    assert!(listed().contains("running"), "{}", listed());
    let pid = lab.daemon().unwrap().pid.to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    lab.daemon().unwrap().wait(Duration::from_secs(60)).unwrap();
    assert!(listed().contains("broken: nestlessd has ended"), "{}", listed());
    assert!(nestless_lab::remove(&LabName::new(name("ls")).unwrap()).unwrap());
}

#[test]
fn a_qemu_that_dies_says_why_and_its_log_is_kept() {
    let lab = name("dies");
    // More than any machine has.
    let output = nestless(&["lab", "up", "--name", &lab, "--vms", "1", "--bare", "--memory", "1000000000"]);
    let told = told(&output);
    assert!(!output.status.success() && told.contains("vm1 ended before it was ready"), "{told}");
    assert!(told.to_lowercase().contains("memory"), "QEMU's own words: {told}");
    let log = format!("/run/nestless/lab.failed/{lab}/vm1/qemu.log");
    assert!(
        told.contains(&log) && std::fs::read_to_string(&log).unwrap().to_lowercase().contains("memory"),
        "{told}"
    );
    assert!(nestless_lab::remove(&LabName::new(&*lab).unwrap()).unwrap());
    assert!(!std::path::Path::new(&log).exists());
}
