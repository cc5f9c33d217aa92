//! The host's half on the oldest kernel that is promised. A guest with Debian 12's kernel plays the host and holds a lab
//! of namespaces, so that its verifier judges the guard's programs, and its kernel runs them.

use nestless_lab::{Exec, LabBuilder, Vmm, image::Program};
use nestless_test::{
    Site, eventually,
    frame::{Raw, ethernet, hex, udp4},
    lab,
};
use serde_json::Value;

const HOST: &str = "vm1";
const PROGRAMS: [Program; 6] =
    [Program::Nestless, Program::Nestlessd, Program::Agent, Program::Cni, Program::LabInit, Raw::PROGRAM];

async fn on_host(site: &Site, line: &str) -> String {
    let output = site.exec(HOST, &Exec::shell(line)).await.unwrap();
    output.success(line).unwrap_or_else(|error| panic!("{error}")).text()
}

async fn pod_nic(site: &Site, pod: &str) -> Value {
    let status = on_host(site, "nestless status --json --lab inner").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let nics = status["vms"].as_array().unwrap().iter().flat_map(|vm| vm["nics"].as_array().unwrap().clone());
    let named = |nic: &Value| nic["attachment"]["container_id"] == pod;
    nics.into_iter().find(named).unwrap_or_else(|| panic!("no NIC of {pod} in {status}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_connected_and_guarded_on_linux_6_1() {
    let builder = lab("older", Vmm::Qemu).without_daemon().size(1, 1024).programs(["nft", "ip"]);
    let site = Site::up(PROGRAMS.into_iter().fold(builder, LabBuilder::own_program)).await;
    let release = on_host(&site, "uname -r").await;
    assert!(release.starts_with("6.1."), "{release}");

    on_host(&site, "nestless lab up --name inner --vmm namespace --vms 2").await;
    for (vm, pod) in [("vm1", "one"), ("vm2", "two")] {
        on_host(&site, &format!("nestless lab pod add --name inner {vm} {pod}")).await;
        for gateway in nestless_test::traffic::GATEWAYS {
            let ping = format!("busybox ping -c 1 -W 10 {gateway}");
            on_host(&site, &format!("nestless lab exec --name inner --pod {pod} {vm} -- {ping}")).await;
        }
    }
    let nic = pod_nic(&site, "one").await;
    assert!(nic["guard"]["passed"].as_u64().unwrap() > 0, "{nic}");

    let stranger = "10.78.200.200".parse().unwrap();
    let mac = nestless_test::frame::unhex(&nic["pod_mac"].as_str().unwrap().replace(':', ""));
    let forged = ethernet(mac.try_into().unwrap(), 0x0800, &udp4(stranger, (1000, 2000), b"forged"));
    let send = format!("nestless lab exec --name inner --pod one vm1 -- {} send eth0", Raw::PROGRAM);
    on_host(&site, &format!("echo {} | {send}", hex(&forged))).await;
    eventually("the forged frame's end", || async {
        let nic = pod_nic(&site, "one").await;
        if nic["guard"]["dropped"]["source_ipv4"] == 1 { Ok(()) } else { Err(nic.to_string()) }
    })
    .await;

    on_host(&site, "nestless lab down --name inner").await;
    assert_eq!(on_host(&site, "ls /sys/fs/bpf/nestless 2>/dev/null | wc -l").await, "0");
    site.down().await;
}
