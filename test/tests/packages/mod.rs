//! The Debian packages, as an operator has them: installed, upgraded, removed and purged by dpkg in a guest where systemd runs.
//! The guest is host and VM at once: the VM of its nestlessd is a namespace.

mod build;
mod machine;

use build::Packages;
use machine::{CALL, Machine};

const NEWER: &str = "0.9.2";
const OLDER: &str = "0.9.1";

const CONFIGURATION: &str = r#"
# Changed by the operator.
[[network]]
name = "pods"
bridge = "nestless0"
subnets = [{ prefix = "10.77.0.0/24" }]
cool_down_s = 1

[[vm]]
name = "vm1"
hypervisor = { namespace = { path = "/run/netns/vm1" } }
channel = { unix = "/run/nestless/vm1.sock" }
warm_pool = 1
"#;
const GATEWAY: &str = "10.77.0.1";
/// The agent is the VM's: in its namespace, beside everything else of the machine's.
const DROP_IN: &str = "[Service]
ExecStart=
ExecStart=/usr/bin/nsenter --net=/run/netns/vm1 /usr/bin/nestless-agent
";
const DROP_INS: &str = "/etc/systemd/system/nestless-agent.service.d";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "does not pass to its end yet: after an installation the guest's systemd finds the agent inactive"]
async fn a_pod_outlives_upgrade_and_removal_and_a_purge_leaves_nothing() {
    let packages = Packages::build(NEWER);
    let machine = Machine::up("packages", &packages).await;
    machine.make_older(NEWER, OLDER).await;
    let before = machine.snapshot().await;

    install(&machine, OLDER).await;
    an_installation_changes_no_network(&machine, &before).await;
    configure(&machine).await;
    cni(&machine, "ADD", "web").await;
    assert_eq!(completed(&machine, "release ").await, "vm1");
    assert_eq!(completed(&machine, "release vm1 ").await, "web");
    nothing_is_removed_from_under_what_runs(&machine).await;

    pods_talk_on_while(&machine, upgrade(&machine)).await;
    a_configuration_that_is_refused_stops_nothing(&machine).await;

    // The daemons go, and what they made stays, until they are back or a purge.
    pods_talk_on_while(&machine, async { drop(machine.run("dpkg -r nestless-guest nestless-host").await) })
        .await;
    assert_eq!(machine.run("pidof nestlessd nestless-agent; :").await, "");
    install(&machine, NEWER).await;
    machine.run("systemctl start nestlessd").await;
    cni(&machine, "CHECK", "web").await;

    machine.run("dpkg -r nestless-guest nestless-host").await;
    machine.run("dpkg -P nestless-guest nestless-host").await;
    forget_the_vm(&machine).await;
    machine.is_as(&before).await;

    uninstall_does_what_a_purge_does(&machine).await;
    machine.is_as(&before).await;
    machine.down().await;
}

async fn install(machine: &Machine, version: &str) {
    machine.install(&["host", "guest"], version).await;
    assert_eq!(machine.run("systemctl is-active nestless-agent").await, "active");
    assert_eq!(machine.run("systemctl is-enabled nestless-agent").await, "enabled");
}

/// nestlessd is not started before it was configured.
async fn an_installation_changes_no_network(machine: &Machine, before: &machine::Snapshot) {
    let now = machine.snapshot().await;
    assert_eq!(now.network(), before.network());
    assert!(machine.fails("systemctl is-active nestlessd").await.contains("inactive"));
    assert!(machine.fails("systemctl is-enabled nestlessd").await.contains("disabled"));
    // The lab that the guest is in has the sample's subnets.
    machine.run("unshare --net nestlessd --check").await;
    assert!(machine.run("nestless --version").await.starts_with("nestless "));
    let files = "/usr/share/man/man1/nestless-status.1.gz /usr/share/man/man8/nestlessd.8.gz \
                 /usr/share/bash-completion/completions/nestless /opt/cni/bin/nestless-cni /usr/lib/cni/nestless-cni";
    machine.run(&format!("ls -L {files}")).await;
    assert_eq!(completed(machine, "re").await, "reconcile release");
}

/// What bash offers at the end of "nestless WORDS".
async fn completed(machine: &Machine, words: &str) -> String {
    let last = words.rsplit(' ').next().unwrap_or_default();
    let line = format!(
        "bash -c '. /usr/share/bash-completion/completions/nestless; COMP_WORDS=(nestless {words} \"\"); COMP_TYPE=9
         [[ -z \"{last}\" ]] || unset \"COMP_WORDS[-1]\"; COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
         _clap_complete_nestless nestless \"{last}\" x; echo \"${{COMPREPLY[*]}}\"'"
    );
    let words = machine.run(&line).await;
    let names: Vec<&str> = words.split_whitespace().filter(|word| !word.starts_with('-')).collect();
    names.join(" ")
}

async fn configure(machine: &Machine) {
    machine.write("/etc/nestless/nestlessd.toml", CONFIGURATION).await;
    machine.write("/etc/default/nestless-agent", "NESTLESS_CHANNEL=unix:/run/nestless/vm1.sock\n").await;
    machine.write(&format!("{DROP_INS}/vm.conf"), DROP_IN).await;
    machine.run("ip netns add vm1 && ip netns add web && ip -n web link set lo up").await;
    machine
        .run(
            "systemctl daemon-reload && systemctl enable --now nestlessd && systemctl restart nestless-agent",
        )
        .await;
}

async fn cni(machine: &Machine, command: &str, pod: &str) {
    machine.run(&format!("sh {CALL} {command} {pod}")).await;
}

async fn nothing_is_removed_from_under_what_runs(machine: &Machine) {
    let refused = machine.fails("nestless uninstall --yes").await;
    assert!(
        refused.contains("bridge nestless0") && refused.contains("nestlessd runs: stop it first"),
        "{refused}"
    );
    machine.run("systemctl stop nestlessd nestless-agent").await;
    let refused = machine.fails("nestless uninstall --yes").await;
    assert!(refused.contains("VM vm1, with ") && refused.contains("--cut-off"), "{refused}");
    let refused = machine.fails("nestless uninstall --guest --yes").await;
    assert!(refused.contains("pod web, as its eth0") && refused.contains("--cut-off"), "{refused}");
    machine.run("systemctl start nestlessd nestless-agent").await;
    cni(machine, "CHECK", "web").await;
}

async fn upgrade(machine: &Machine) {
    let pids = "systemctl show --property MainPID nestlessd nestless-agent";
    let before = machine.run(pids).await;
    machine.install(&["host", "guest"], NEWER).await;
    let after = machine.run(pids).await;
    let (before, after): (Vec<_>, Vec<_>) =
        (before.split_whitespace().collect(), after.split_whitespace().collect());
    assert!(
        before.iter().zip(&after).all(|(before, after)| before != after),
        "restarted: {before:?} {after:?}"
    );
    assert_eq!(machine.run("systemctl is-active nestlessd nestless-agent").await, "active\nactive");
    // The package's own changed as well: the operator's stays, and that lies beside it.
    let kept = machine.run("cat /etc/nestless/nestlessd.toml").await;
    assert!(kept.contains("Changed by the operator."), "{kept}");
    assert!(!machine.run("cat /etc/nestless/nestlessd.toml.dpkg-dist").await.contains("operator"));
    assert!(machine.run("cat /etc/default/nestless-agent").await.contains("unix:"));
    cni(machine, "CHECK", "web").await;
}

/// Not a packet of the pod's is lost meanwhile.
async fn pods_talk_on_while(machine: &Machine, change: impl Future<Output = ()>) {
    let ping =
        format!("setsid ip netns exec web busybox ping {GATEWAY} >/root/ping 2>&1 & echo $! >/root/ping.pid");
    machine.run(&ping).await;
    change.await;
    let told = machine.run("kill -INT $(cat /root/ping.pid); sleep 1; cat /root/ping").await;
    assert!(told.contains(" 0% packet loss"), "{told}");
}

async fn a_configuration_that_is_refused_stops_nothing(machine: &Machine) {
    let pid = machine.run("pidof nestlessd").await;
    machine.run("echo no_such_key = 1 >>/etc/nestless/nestlessd.toml").await;
    let told = machine.install(&["host"], NEWER).await;
    assert!(told.contains("no_such_key") && told.contains("goes on"), "{told}");
    assert_eq!(machine.run("pidof nestlessd").await, pid);
    machine.write("/etc/nestless/nestlessd.toml", CONFIGURATION).await;
}

async fn uninstall_does_what_a_purge_does(machine: &Machine) {
    install(machine, NEWER).await;
    configure(machine).await;
    cni(machine, "ADD", "web").await;
    machine.run("cp /usr/share/doc/nestless-guest/examples/10-nestless.conflist /etc/cni/net.d/").await;
    machine.run("systemctl disable --now nestlessd nestless-agent").await;
    let shown = machine.fails("nestless uninstall --cut-off </dev/null").await;
    assert!(
        shown.contains("nftables table inet nestless-host") && shown.contains("repeat with --yes"),
        "{shown}"
    );
    for side in ["", " --guest"] {
        let told = machine.run(&format!("nestless uninstall --yes --cut-off{side}")).await;
        assert!(told.contains("apt-get purge nestless-"), "{told}");
        let again = machine.run(&format!("nestless uninstall{side}")).await;
        assert_eq!(again, "there is nothing to remove");
    }
    machine.run("dpkg -P nestless-guest nestless-host").await;
    forget_the_vm(machine).await;
}

/// What the test has made, and no package.
async fn forget_the_vm(machine: &Machine) {
    machine.run(&format!("rm -r {DROP_INS}; rm -f /root/web.result; systemctl daemon-reload")).await;
    machine.run("ip netns del web; ip netns del vm1").await;
}
