//! `nestless status`: VMs, NICs, networks and how much of each is left.

use crate::{
    operator::{Daemon, refused},
    output,
    report::{Nic, Status, Vm},
};
use anyhow::{Context as _, bail};
use nestless_page::{Table, or_dash};
use nestless_proto::StatusRequest;
use std::{fmt::Write as _, process::ExitCode, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// Between two looks while it is waited: nothing tells when a VM is ready.
const PAUSE: Duration = Duration::from_millis(200);

/// A daemon answers at once. One that hangs shall not make others hang.
const DEADLINE: Duration = Duration::from_secs(20);

/// Show VMs, NICs, networks and what is left of each.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    daemon: Daemon,
    /// Wait until the daemon answers, every VM runs with its agent connected, and each can have a NIC; so many seconds at
    /// most. Exit code 1 when they are over, with what is missing.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    wait: Option<u64>,
    /// Print JSON (`nestless schema status`).
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let (status, missing) = match self.wait {
            Some(seconds) => self.wait_for(Duration::from_secs(seconds)).await?,
            None => (ask(&self.daemon).await?, Vec::new()),
        };
        if self.json {
            output::print_json(&status)?;
        } else {
            output::print(&render(&status))?;
        }
        if missing.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        bail!("not ready: {}", missing.join("; "))
    }

    /// The last status, and what it was waited for in vain.
    async fn wait_for(&self, longest: Duration) -> anyhow::Result<(Status, Vec<String>)> {
        let end = Instant::now() + longest;
        loop {
            let asked = ask(&self.daemon).await;
            let late = Instant::now() + PAUSE > end;
            match asked {
                Ok(status) => {
                    let missing = missing(&status);
                    if missing.is_empty() || late {
                        return Ok((status, missing));
                    }
                }
                Err(error) if late => return Err(error).context("not ready"),
                Err(_) => {}
            }
            sleep(PAUSE).await;
        }
    }
}

/// What a daemon says now.
pub(crate) async fn ask(daemon: &Daemon) -> anyhow::Result<Status> {
    let asked = async {
        let mut client = daemon.connect().await?;
        Ok(Status::from(client.status(StatusRequest {}).await.map_err(refused)?.into_inner()))
    };
    timeout(DEADLINE, asked).await.unwrap_or_else(|_| {
        bail!("nestlessd accepts connections on {} and does not answer", daemon.path().display())
    })
}

/// A sentence for each VM that cannot serve a pod now.
fn missing(status: &Status) -> Vec<String> {
    status.vms.iter().filter_map(|vm| Some(format!("VM {}: {}", vm.name, amiss(vm)?))).collect()
}

/// Why a VM cannot serve a pod; `None` where it can. A VM that is full is a VM as it should be.
pub(crate) fn amiss(vm: &Vm) -> Option<String> {
    if !vm.trouble.is_empty() {
        return Some(format!("{}: {}", vm.state, vm.trouble));
    }
    if vm.channel != "connected" {
        let why = if vm.channel_trouble.is_empty() {
            "nestless-agent in it has not called: does it run there, and by the channel that is configured?"
        } else {
            &vm.channel_trouble
        };
        return Some(format!("its agent is not connected: {why}"));
    }
    (vm.state != "running").then(|| vm.state.clone())
}

fn render(status: &Status) -> String {
    let mut text = format!("nestlessd {}, up {}\n", status.version, duration(status.uptime_s));
    let mut vms =
        Table::new(["VM", "HYPERVISOR", "STATE", "AGENT", "IN USE", "SPARE", "LOST", "LIMIT", "FREE"]);
    for vm in &status.vms {
        let free = vm.nic_limit.saturating_sub(vm.in_use).saturating_sub(vm.quarantined);
        vms.add_row([
            vm.name.clone(),
            vm.hypervisor.clone(),
            vm.state.clone(),
            vm.channel.clone(),
            vm.in_use.to_string(),
            format!("{}/{}", vm.spare, vm.warm_pool),
            vm.quarantined.to_string(),
            vm.nic_limit.to_string(),
            free.to_string(),
        ]);
    }
    section(&mut text, &vms);
    for vm in status.vms.iter().filter(|vm| vm.without_ipv6) {
        let note = "its kernel has no IPv6 (ipv6.disable=1), so its pods have IPv4 alone";
        writeln!(text, "VM {}: {note}", vm.name).expect("writing to a String cannot fail");
    }
    for sentence in missing(status) {
        text.push_str(&format!("{sentence}\n"));
    }
    let mut networks =
        Table::new(["NETWORK", "BRIDGE", "UPLINK", "MTU", "SUBNET", "IN USE", "COOLING", "FREE"]);
    for network in &status.networks {
        for subnet in &network.subnets {
            networks.add_row([
                network.name.clone(),
                network.bridge.clone(),
                network.uplink.clone(),
                network.mtu_bytes.to_string(),
                subnet.prefix.clone(),
                subnet.in_use.to_string(),
                subnet.cooling.to_string(),
                free(subnet.free),
            ]);
        }
    }
    section(&mut text, &networks);
    let mut nics = Table::new(["NIC", "VM", "PHASE", "LINK", "POD", "ADDRESSES", "PCI", "PASSED", "DROPPED"]);
    for vm in &status.vms {
        for nic in &vm.nics {
            nics.add_row([
                format!("{:x}", nic.nic_id),
                vm.name.clone(),
                nic.phase.clone(),
                nic.link.clone(),
                who(nic),
                nic.membership.as_ref().map_or_else(
                    || or_dash(nic.addresses.join(",")),
                    |membership| format!("loopback:{}/{}", membership.group, membership.fraction),
                ),
                or_dash(nic.pci_address.clone()),
                nic.guard.passed.to_string(),
                nic.guard.dropped.values().sum::<u64>().to_string(),
            ]);
        }
    }
    section(&mut text, &nics);
    let faults = status.vms.iter().flat_map(|vm| vm.nics.iter().map(move |nic| (vm, nic)));
    for (at, (vm, nic, fault)) in
        faults.flat_map(|(vm, nic)| nic.faults.iter().map(move |fault| (vm, nic, fault))).enumerate()
    {
        let gap = if at == 0 { "\n" } else { "" };
        text.push_str(&format!("{gap}NIC {:x} of VM {}: {fault}\n", nic.nic_id, vm.name));
    }
    text
}

/// An IPv6 subnet has more addresses than anybody reads.
fn free(count: u64) -> String {
    const MANY: u64 = 1_000_000_000;
    match count {
        0..MANY => count.to_string(),
        MANY..u64::MAX => format!("{:.1e}", count as f64),
        // More than a count can hold.
        u64::MAX => format!("over {:.1e}", u64::MAX as f64),
    }
}

/// Kubernetes' name for the pod, or the runtime's id in short.
fn who(nic: &Nic) -> String {
    match (&nic.pod, &nic.attachment) {
        (Some(pod), _) if !pod.name.is_empty() => format!("{}/{}", pod.namespace, pod.name),
        (_, Some(id)) => format!("{}/{}", id.container_id.chars().take(12).collect::<String>(), id.interface),
        _ => "-".into(),
    }
}

fn section(text: &mut String, table: &Table) {
    if !table.is_empty() {
        write!(text, "\n{}", table.terminal()).expect("writing to a String cannot fail");
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nestless_proto as proto;

    fn example() -> proto::StatusResponse {
        let nic = |nic_id: u32, phase: &str, pod: Option<&str>| proto::NicStatus {
            nic_id,
            phase: phase.into(),
            link: format!("nl{nic_id:x}"),
            network: "pods".into(),
            attachment: pod.map(|_| proto::AttachmentId {
                container_id: "0123456789abcdef".into(),
                interface: "eth0".into(),
            }),
            pod: pod.map(|name| proto::PodRef {
                namespace: "default".into(),
                name: name.into(),
                uid: String::new(),
            }),
            addresses: pod.map(|_| "10.78.0.7/16".into()).into_iter().collect(),
            pci_address: pod.map(|_| "0000:01:05.0".into()).unwrap_or_default(),
            guard: pod.map(|_| proto::GuardCounters {
                passed: 120,
                passed_bytes: 9000,
                dropped: [("arp".to_owned(), 1), ("source_ipv4".to_owned(), 2)].into(),
            }),
            ..Default::default()
        };
        proto::StatusResponse {
            version: "0.1.0".into(),
            uptime_s: 3700,
            vms: vec![proto::VmStatus {
                name: "vm1".into(),
                hypervisor: "qemu".into(),
                state: "running".into(),
                channel: "connected".into(),
                nic_limit: 64,
                in_use: 2,
                spare: 1,
                quarantined: 1,
                warm_pool: 8,
                nics: vec![nic(10, "InUse", Some("web")), nic(11, "InUse", Some("")), nic(12, "Spare", None)],
                ..Default::default()
            }],
            networks: vec![proto::NetworkStatus {
                name: "pods".into(),
                bridge: "nlbr0".into(),
                uplink: "nat".into(),
                mtu_bytes: 1500,
                subnets: vec![proto::SubnetStatus {
                    prefix: "10.78.0.0/16".into(),
                    gateway: "10.78.0.1".into(),
                    in_use: 2,
                    cooling: 3,
                    free: 65528,
                }],
            }],
        }
    }

    #[test]
    fn a_full_picture() {
        insta::assert_snapshot!(render(&example().into()), @r"
        nestlessd 0.1.0, up 1 h 1 min

        VM   HYPERVISOR  STATE    AGENT      IN USE  SPARE  LOST  LIMIT  FREE
        vm1  qemu        running  connected  2       1/8    1     64     61

        NETWORK  BRIDGE  UPLINK  MTU   SUBNET        IN USE  COOLING  FREE
        pods     nlbr0   nat     1500  10.78.0.0/16  2       3        65528

        NIC  VM   PHASE  LINK  POD                ADDRESSES     PCI           PASSED  DROPPED
        a    vm1  InUse  nla   default/web        10.78.0.7/16  0000:01:05.0  120     3
        b    vm1  InUse  nlb   0123456789ab/eth0  10.78.0.7/16  0000:01:05.0  120     3
        c    vm1  Spare  nlc   -                  -             -             0       0
        ");
    }

    fn vm(state: &str, channel: &str, trouble: &str, channel_trouble: &str) -> Vm {
        let told = |text: &str| text.to_owned();
        proto::VmStatus {
            name: "vm1".into(),
            state: told(state),
            channel: told(channel),
            trouble: told(trouble),
            channel_trouble: told(channel_trouble),
            nic_limit: 64,
            ..Default::default()
        }
        .into()
    }

    #[test]
    fn a_vm_that_is_not_ready_says_why() {
        for (vm, expected) in [
            (vm("running", "connected", "", ""), None),
            (
                vm("down", "waiting", "there is no /run/vm1.qmp", "no x"),
                Some("down: there is no /run/vm1.qmp"),
            ),
            (
                vm("running", "connected", "it has no hot-plug port", ""),
                Some("running: it has no hot-plug port"),
            ),
            (vm("booting", "waiting", "", "no /run/vm1.channel"), Some("not connected: no /run/vm1.channel")),
            (vm("running", "waiting", "", ""), Some("not connected: nestless-agent in it has not called")),
            (vm("paused", "connected", "", ""), Some("paused")),
        ] {
            let told = amiss(&vm);
            let alike = match (&told, expected) {
                (Some(told), Some(expected)) => told.contains(expected),
                (told, expected) => told.is_none() && expected.is_none(),
            };
            assert!(alike, "{told:?} is not {expected:?}");
        }
        let mut status = Status::from(example());
        status.vms[0].trouble = "there is no /x".into();
        assert!(render(&status).contains("\nVM vm1: running: there is no /x\n"), "{}", render(&status));
    }

    #[test]
    fn so_many_addresses_that_nobody_reads_them_are_rounded() {
        let shown = [0, 254, 65_528, 999_999_999, 18_446_744_073_709_551_359, u64::MAX].map(free);
        assert_eq!(shown, ["0", "254", "65528", "999999999", "1.8e19", "over 1.8e19"]);
    }

    #[test]
    fn what_is_amiss_stands_at_the_end() {
        let mut example = example();
        example.vms[0].nics[1].faults = vec!["port closed: program 7 (\"spy\") stands before".into()];
        let text = render(&example.into());
        assert!(
            text.ends_with("\n\nNIC b of VM vm1: port closed: program 7 (\"spy\") stands before\n"),
            "{text}"
        );
    }

    /// A guest's words neither steer the terminal nor hide what they are.
    #[test]
    fn names_show_all_that_is_in_them() {
        let mut example = example();
        let pod = example.vms[0].nics[0].pod.as_mut().unwrap();
        pod.name = "w\u{202e}e\u{200b}b\u{2028}".into();
        let text = render(&example.into());
        assert!(text.contains("default/w\\u{202e}e\\u{200b}b\\u{2028}  10.78.0.7/16"), "{text}");
    }

    #[test]
    fn nothing_yet() {
        let empty = proto::StatusResponse { version: "0.1.0".into(), uptime_s: 5, ..Default::default() };
        assert_eq!(render(&empty.into()), "nestlessd 0.1.0, up 5 s\n");
    }

    #[test]
    fn json_keeps_counters_by_reason() {
        let json = serde_json::to_value(Status::from(example())).unwrap();
        assert_eq!(json["vms"][0]["nics"][0]["guard"]["dropped"]["source_ipv4"], 2);
        assert!(json["vms"][0]["nics"][2]["attachment"].is_null());
    }
}
