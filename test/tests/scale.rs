//! As many NICs as a guest takes, hundreds of attachments one after another, and what the programs need for it.

use nestless_lab::{Exec, Vmm};
use nestless_test::{Call, Failure, Site, agree, census, cni, lab, operator, traffic};

/// KiB.
const DAEMON_KIB: u64 = 12 << 10;
const AGENT_KIB: u64 = 12 << 10;
const PLUGIN_RSS_KIB: u64 = 8 << 10;

fn at_most(what: &str, kib: u64, limit_kib: u64) {
    eprintln!("{what}: {kib} KiB");
    assert!(kib > 0, "{what} was not measured");
    assert!(kib <= limit_kib, "{what}: {kib} KiB of {limit_kib}");
}

async fn add(site: &Site, pod: &str) -> Result<(), Failure> {
    cni::sandbox(site, "vm1", pod).await.unwrap();
    Call::new("ADD", pod).insist(site, "vm1").await.map(drop)
}

/// The agent's own memory, and the most that one call of the plugin ever had.
async fn memory_in_the_guest(site: &Site) -> (u64, u64) {
    let agent = site.vm("vm1").unwrap().agent_pid().await.unwrap().unwrap();
    let status = site.exec("vm1", &Exec::new(["cat", &format!("/proc/{agent}/status")])).await.unwrap();
    let agent = census::status_field(&status.text(), census::OWN_MEMORY);
    let script = "CNI_COMMAND=STATUS busybox time -f 'peak %M' nestless-cni >/dev/null";
    let conf = r#"{"cniVersion": "1.1.0", "name": "pods", "type": "nestless-cni"}"#;
    let plugin = site.exec("vm1", &Exec::shell(script).stdin(conf)).await.unwrap();
    let text = String::from_utf8_lossy(&plugin.stderr).into_owned();
    let peak = text.lines().find_map(|line| line.strip_prefix("peak ")?.trim().parse().ok());
    (agent, peak.unwrap_or_else(|| panic!("{text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_nics_in_one_guest() {
    let site = Site::up(lab("scale", Vmm::Qemu).size(2, 1536).nics(0, 200)).await;
    let daemon = site.daemon().unwrap().pid;
    for number in 0..200 {
        add(&site, &format!("c{number}")).await.unwrap_or_else(|failure| panic!("NIC {number}: {failure}"));
        if number == 99 {
            at_most("nestlessd with 100 attachments", census::own_kib(daemon), DAEMON_KIB);
            let (agent, plugin) = memory_in_the_guest(&site).await;
            at_most("nestless-agent with 100 attachments", agent, AGENT_KIB);
            at_most("nestless-cni", plugin, PLUGIN_RSS_KIB);
        }
    }
    let late = add(&site, "late").await.unwrap_err();
    assert_eq!(late.code, 106, "{late}");
    assert!(late.msg.contains("200"), "{late}");
    cni::drop_sandbox(&site, "vm1", "late").await.unwrap();
    let status = agree(&site).await;
    assert_eq!((status.vms[0].in_use, status.vms[0].quarantined), (200, 0));
    for number in [0, 99, 199] {
        let pod = format!("c{number}");
        for gateway in traffic::GATEWAYS {
            let ping = site.pod_exec("vm1", &pod, traffic::ping(gateway)).await.unwrap();
            ping.success(format!("{pod} pings {gateway}")).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    for number in 0..200 {
        Call::new("DEL", &format!("c{number}")).run(&site, "vm1").await.unwrap();
        cni::drop_sandbox(&site, "vm1", &format!("c{number}")).await.unwrap();
    }
    let status = agree(&site).await;
    assert!(status.vms[0].nics.is_empty());
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_with_few_places_says_so() {
    let site = Site::up(lab("places", Vmm::Qemu).nics(0, 40).slots(8)).await;
    let mut served = 0;
    let refused = loop {
        match add(&site, &format!("c{served}")).await {
            Ok(()) => served += 1,
            Err(failure) => break failure,
        }
    };
    assert!((8..40).contains(&served), "{served}");
    assert_eq!(refused.code, 106, "{refused}");
    assert!(refused.msg.contains("port") || refused.msg.contains("place"), "{refused}");
    assert!(refused.details.contains("nestless topology"), "{refused}");
    cni::drop_sandbox(&site, "vm1", &format!("c{served}")).await.unwrap();
    assert_eq!(agree(&site).await.vms[0].in_use, served);
    // One place more is one pod more.
    Call::new("DEL", "c0").run(&site, "vm1").await.unwrap();
    operator::settled(&site).await;
    add(&site, "again").await.unwrap_or_else(|failure| panic!("{failure}"));
    site.down().await;
}

/// In the guest's own shell, so that the machine's time goes to the cycles: every tenth pod comes with three others, for
/// which there is no warm NIC.
const CYCLES: &str = r#"
set -e
conf='{"cniVersion":"1.1.0","name":"pods","type":"nestless-cni","network":"pods"}'
call() { # command, container
  echo "$conf" | CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=/run/netns/$2 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin \
    nestless-cni > /tmp/answer || { cat /tmp/answer >&2; exit 1; }
}
done=0
while [ $done -lt $CYCLES ]; do
  pods=a
  [ $((done % 40)) -ne 36 ] || pods="a b c d"
  for pod in $pods; do call ADD $pod; done
  for pod in $pods; do call DEL $pod; done
  for pod in $pods; do done=$((done + 1)); done
done
echo $done
"#;

async fn cycles(site: &Site, count: u32) {
    for pod in ["a", "b", "c", "d"] {
        cni::sandbox(site, "vm1", pod).await.unwrap();
    }
    let script = Exec::shell(CYCLES).env("CYCLES", count.to_string());
    let output = site.exec("vm1", &script).await.unwrap();
    let done: u32 = output.success("attach and detach").unwrap().text().parse().unwrap();
    assert!(done >= count);
    for pod in ["a", "b", "c", "d"] {
        assert_eq!(
            site.pod_exec("vm1", pod, Exec::shell("ip -o link | wc -l")).await.unwrap().text(),
            "1",
            "links left in {pod}"
        );
        cni::drop_sandbox(site, "vm1", pod).await.unwrap();
    }
    let status = agree(site).await;
    assert_eq!((status.vms[0].in_use, status.vms[0].quarantined), (0, 0));
    site.holds_no_more_descriptors().await;
}

async fn leave_nothing(what: &str, vmm: Vmm, count: u32) {
    let mut site = Site::up(lab(what, vmm).nics(1, 16)).await;
    cycles(&site, 40).await;
    site.remember_descriptors();
    let daemon = site.daemon().unwrap().pid;
    let before = census::rss_kib(daemon);
    cycles(&site, count).await;
    let after = census::rss_kib(daemon);
    eprintln!("nestlessd: {before} then {after} KiB");
    // Attachments that were forgotten would be far more than two megabytes.
    assert!(after < before + 2048);
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_attachments_leave_nothing() {
    // What costs a second in a guest without KVM costs a fraction of it in a namespace, although a NIC is plugged for each there.
    leave_nothing("cycles", Vmm::Namespace, 300).await;
    leave_nothing("qcycles", Vmm::Qemu, 100).await;
}
