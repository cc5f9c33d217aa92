//! What a person does with a lab's pods: `nestless lab pod` and `nestless lab exec`.

use nestless_lab::{
    Exec, Vmm,
    image::{Program, Programs},
};
use nestless_test::{
    Site, agree, lab, operator,
    split::{Fraction, GROUP},
    traffic,
};
use serde_json::{Value, json};
use std::process::{Output, Stdio};
use tokio::process::Command;

const PORT: u16 = 7500;
/// Of the group: any more fractions are too many.
const SIZE: &str = "2";

/// `nestless lab`, of this lab.
fn nestless(site: &Site, subcommand: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new(Programs::locate().find(Program::Nestless).unwrap());
    command.arg("lab").args(subcommand).args(["--name", site.name().as_str()]).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

async fn run(site: &Site, subcommand: &[&str], arguments: &[&str]) -> Output {
    nestless(site, subcommand, arguments).output().await.unwrap()
}

async fn succeeds(site: &Site, subcommand: &[&str], arguments: &[&str]) -> String {
    let output = run(site, subcommand, arguments).await;
    assert!(output.status.success(), "{subcommand:?} {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What it says: what is wrong, where, and what to do next.
async fn is_refused(site: &Site, subcommand: &[&str], arguments: &[&str], words: &[&str]) {
    let output = run(site, subcommand, arguments).await;
    assert!(!output.status.success(), "{subcommand:?} {arguments:?}: {}", text(&output.stdout));
    let said = text(&output.stderr);
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}

async fn pods(site: &Site) -> Value {
    serde_json::from_str(&succeeds(site, &["pod", "ls"], &["--json"]).await).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_fractions_are_made_and_share_a_localhost() {
    let site = Site::up(lab("hand", Vmm::Namespace).vms(2)).await;
    let (add, del) = (&["pod", "add"][..], &["pod", "del"][..]);
    let joins = ["--group", GROUP, "--size", SIZE];
    for (vm, pod) in [("vm1", "web"), ("vm2", "database")] {
        let said = succeeds(&site, add, &[&joins[..], &[vm, pod]].concat()).await;
        assert!(said.ends_with(&format!("fraction {pod} of {GROUP}")), "{said}");
    }
    // Each has an eth0 as well.
    let ping = site.pod_exec("vm1", "web", traffic::ping(traffic::GATEWAYS[0])).await.unwrap();
    ping.success("ping the bridge").unwrap();

    let port = PORT.to_string();
    let serve = ["vm2", "--pod", "database", "--", "busybox", "nc", "-ll", "-p", &port, "-e", "hostname"];
    let mut server = nestless(&site, &["exec"], &serve).spawn().unwrap();
    Fraction { site: &site, vm: "vm2", name: "database" }.listens(PORT).await;
    let ask = ["vm1", "--pod", "web", "--", "busybox", "nc", "-w", "20", "127.0.0.1", &port];
    assert_eq!(succeeds(&site, &["exec"], &ask).await, "vm2");

    // Nobody's pod is in the way of another one's making.
    is_refused(&site, add, &["vm1", "web"], &["pod web is in vm1 already", "nestless lab pod del"]).await;
    let again = [&joins[..], &["vm2", "database"]].concat();
    is_refused(&site, add, &again, &["pod database is in vm2 already", "left as it is"]).await;
    assert_eq!(succeeds(&site, &["exec"], &ask).await, "vm2", "those that are there are as they were");

    let third = [&joins[..], &["vm1", "cache"]].concat();
    is_refused(&site, add, &third, &["pod cache in vm1", "has 2 fractions", "nestless loopback show"]).await;
    is_refused(&site, add, &["--group", GROUP, "--size", "17", "vm1", "cache"], &["--size", "1 to 16"]).await;
    is_refused(&site, add, &["--fraction", "cache", "vm1", "cache"], &["--group"]).await;
    let both = json!([{"vm": "vm1", "pod": "web"}, {"vm": "vm2", "pod": "database"}]);
    assert_eq!(pods(&site).await, both, "what was refused left nothing");

    succeeds(&site, del, &["vm2", "database"]).await;
    server.kill().await.unwrap();
    let fractions = operator::group(&site, GROUP).await.unwrap().group.unwrap().fractions;
    assert_eq!(fractions.iter().map(|fraction| fraction.name.as_str()).collect::<Vec<_>>(), ["web"]);
    is_refused(&site, &["exec"], &ask, &["Connection refused"]).await;
    is_refused(&site, del, &["vm2", "database"], &["there is no pod database in vm2", "nestless lab pod ls"])
        .await;
    is_refused(
        &site,
        &["exec"],
        &["vm2", "--pod", "database", "--", "true"],
        &["database", "vm2", "lab pod ls"],
    )
    .await;

    // The place is free, and an eth0 need not be.
    let bare = [&joins[..], &["--localhost-only", "--fraction", "cache", "vm2", "third"]].concat();
    assert_eq!(succeeds(&site, add, &bare).await, format!("vm2  third  fraction cache of {GROUP}"));
    let links = site.pod_exec("vm2", "third", Exec::new(["ls", "/sys/class/net"])).await.unwrap().text();
    assert_eq!(links.split_whitespace().collect::<Vec<_>>(), ["hostlo0", "lo"]);

    for (vm, pod) in [("vm1", "web"), ("vm2", "third")] {
        succeeds(&site, del, &[vm, pod]).await;
    }
    assert_eq!(pods(&site).await, json!([]));
    let gone = operator::group(&site, GROUP).await.unwrap_err();
    assert!(gone.message().contains("there is no loopback group"), "{gone}");
    agree(&site).await;
    site.holds_no_more_descriptors().await;
    site.down().await;
}
