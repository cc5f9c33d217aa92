//! One pod in several VMs: its containers meet on 127.0.0.1 and ::1 by way of plugin, agent and daemon.

use nestless_lab::Vmm;
use nestless_test::{
    Call, Echo, Failure, Site, agree, cni, echo, eventually, lab, localhost, operator,
    split::{self, Fraction, GROUP, SIZE},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

const PORT: u16 = 7000;
const OTHER_PORT: u16 = 7001;
/// CNI's numbers of ours.
const CHECK_FAILED: u64 = 111;
const GROUP_FULL: u64 = 114;
const FRACTION_TAKEN: u64 = 115;
const OTHER_SIZE: u64 = 117;

async fn checks(fraction: &Fraction<'_>, result: &Value) -> Result<Value, Failure> {
    fraction.call("CHECK").conf("prevResult", result.clone()).run(fraction.site, fraction.vm).await
}

async fn is_answered(fraction: &Fraction<'_>) {
    echo::answers_at_home(fraction.site, fraction.vm, fraction.name, PORT).await;
}

async fn is_refused(fraction: &Fraction<'_>) {
    echo::refuses_at_home(fraction.site, fraction.vm, fraction.name, PORT).await;
}

async fn places(site: &Site) -> Vec<(String, u32, String)> {
    let fractions = split::group(site).await.group.unwrap().fractions;
    assert!(fractions.iter().all(|fraction| fraction.reflected), "{fractions:?}");
    fractions.into_iter().map(|fraction| (fraction.name, fraction.place, fraction.vm)).collect()
}

async fn a_pod_lives_in_three_vms(vmm: Vmm) {
    let builder = lab("split", vmm).vms(3).own_program(Echo::PROGRAM).own_program(localhost::PROGRAM);
    let mut site = Site::up(builder).await;
    let [web, app, database] = split::fractions(&site);

    cni::sandbox(&site, web.vm, web.name).await.unwrap();
    let first = Call::new("ADD", web.name).insist(&site, web.vm).await.unwrap();
    let chained = web.call("ADD").conf("prevResult", first.clone()).insist(&site, web.vm).await.unwrap();
    assert_eq!(chained["ips"], first["ips"]);
    assert_eq!(
        (&chained["interfaces"][0], &chained["interfaces"][1]["name"]),
        (&first["interfaces"][0], &json!("hostlo0"))
    );
    assert_eq!(checks(&web, &chained).await, Ok(Value::Null));
    app.joins().await;
    let result = database.joins().await;
    let expected = [("web", 0, "vm1"), ("app", 1, "vm2"), ("database", 2, "vm3")];
    assert_eq!(
        places(&site).await,
        expected.map(|(name, place, vm)| (name.to_owned(), place, vm.to_owned()))
    );

    // The kernel's own ports, in as many parts as there will be fractions.
    for (fraction, first) in [(web, 32768), (app, 39826), (database, 46884)] {
        let ports = fraction.runs("cat /proc/sys/net/ipv4/ip_local_port_range").await;
        assert_eq!(ports.text(), format!("{first}\t{}", first + 28232 / SIZE - 1), "{}", fraction.name);
    }

    // Nobody listens; then one does, wherever it is.
    for fraction in [web, app, database] {
        is_refused(&fraction).await;
    }
    let server = Echo::serve(&site, database.vm, database.name, PORT, PORT).await;
    for fraction in [web, app, database] {
        is_answered(&fraction).await;
    }
    server.end().await;
    is_refused(&web).await;
    let moved = Echo::serve(&site, web.vm, web.name, PORT, PORT).await;
    for fraction in [web, app, database] {
        is_answered(&fraction).await;
    }
    // Connections that are over are forgotten; flows of UDP have no end.
    let other = web.serves_as(web.name, OTHER_PORT).await;
    app.meets(OTHER_PORT, 1).await;
    let shown = split::group(&site).await;
    other.end().await;
    assert!(
        shown.flows.iter().any(|flow| flow.state == "bound" && flow.answerer == "web"),
        "{:?}",
        shown.flows
    );
    let trace = operator::trace(&site, "loopback:shop/app").await;
    assert!(trace.hops.iter().all(|hop| hop.seen), "{trace:?}");
    let kinds: Vec<_> = trace.hops.iter().map(|hop| hop.kind.as_str()).collect();
    assert_eq!(kinds.first().copied(), Some("steer"));

    // The daemon is another one; nothing was lost.
    let before = places(&site).await;
    site.kill_daemon().await.unwrap();
    let [web, app, database] = split::fractions(&site);
    for fraction in [web, app, database] {
        is_answered(&fraction).await;
    }
    site.start_daemon(&[]).await.unwrap();
    operator::settled(&site).await;
    let [web, app, database] = split::fractions(&site);
    assert_eq!(places(&site).await, before);
    for fraction in [web, app, database] {
        is_answered(&fraction).await;
    }
    agree(&site).await;

    doubles_and_more_are_refused(&database).await;
    assert_eq!(checks(&database, &result).await, Ok(Value::Null));
    database.leaves().await;
    database.leaves().await;
    assert_eq!(checks(&database, &result).await.unwrap_err().code, 3);
    is_refused(&database).await;
    is_answered(&app).await;
    assert_eq!(places(&site).await, before[..2]);
    database.joins_again().await;
    assert_eq!(places(&site).await, before, "a fraction that returns has its own ports");
    is_answered(&database).await;

    moved.end().await;
    for fraction in [web, app, database] {
        fraction.leaves().await;
        cni::drop_sandbox(&site, fraction.vm, fraction.name).await.unwrap();
    }
    assert_eq!(Call::new("DEL", web.name).run(&site, web.vm).await, Ok(Value::Null));
    let gone = operator::group(&site, GROUP).await.unwrap_err();
    assert!(gone.message().contains("there is no loopback group shop"), "{gone}");
    agree(&site).await;
    site.down().await;
}

async fn doubles_and_more_are_refused(database: &Fraction<'_>) {
    let (site, vm) = (database.site, database.vm);
    let other = Fraction { name: "other", ..*database };
    cni::sandbox(site, vm, other.name).await.unwrap();
    let failure = other.named("ADD", "web").run(site, vm).await.unwrap_err();
    assert_eq!(failure.code, FRACTION_TAKEN, "{failure}");
    assert!(failure.msg.contains("is in VM vm1 already"), "{failure}");
    let larger = json!({"group": GROUP, "fraction": "other", "size": SIZE + 1});
    let failure = other.call("ADD").conf("loopback", larger).run(site, vm).await.unwrap_err();
    assert_eq!(failure.code, OTHER_SIZE, "{failure}");
    other.joins_again().await;
    let more = Fraction { name: "more", ..*database };
    cni::sandbox(site, vm, more.name).await.unwrap();
    let failure = more.call("ADD").run(site, vm).await.unwrap_err();
    assert_eq!(failure.code, GROUP_FULL, "{failure}");
    assert!(failure.msg.contains("has 4 fractions: as many as it is made for"), "{failure}");
    other.leaves().await;
    cni::drop_sandbox(site, vm, more.name).await.unwrap();
    cni::drop_sandbox(site, vm, other.name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_lives_in_three_namespace_vms() {
    a_pod_lives_in_three_vms(Vmm::Namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_lives_in_three_qemu_vms() {
    a_pod_lives_in_three_vms(Vmm::Qemu).await;
}

/// A pod that is not split passes through the chained plugin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_pod_keeps_its_own_localhost() {
    let site = Site::up(lab("whole", Vmm::Namespace).vms(1)).await;
    cni::sandbox(&site, "vm1", "whole").await.unwrap();
    let first = Call::new("ADD", "whole").insist(&site, "vm1").await.unwrap();
    let chained = |command| Call::new(command, "whole").conf("mode", json!("loopback"));
    let passed = chained("ADD").conf("prevResult", first.clone()).insist(&site, "vm1").await;
    assert_eq!(passed, Ok(first.clone()));
    // The list has the pod under its own interface's name.
    let valid = json!([{"containerID": "whole", "ifname": "eth0"}]);
    assert_eq!(
        chained("GC").conf("cni.dev/valid-attachments", valid).run(&site, "vm1").await,
        Ok(Value::Null)
    );
    let checked = Call::new("CHECK", "whole").conf("prevResult", first.clone()).run(&site, "vm1").await;
    assert_eq!(checked, Ok(Value::Null));
    for call in [chained("DEL"), Call::new("DEL", "whole")] {
        assert_eq!(call.run(&site, "vm1").await, Ok(Value::Null));
    }
    cni::drop_sandbox(&site, "vm1", "whole").await.unwrap();
    agree(&site).await;
    site.down().await;
}

/// GC by either plugin of a chain takes what its list leaves out, and nothing of the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gc_knows_whose_is_what() {
    let site = Site::up(lab("gc", Vmm::Namespace).vms(1)).await;
    let web = Fraction { site: &site, vm: "vm1", name: "web" };
    cni::sandbox(&site, web.vm, web.name).await.unwrap();
    let first = Call::new("ADD", web.name).insist(&site, web.vm).await.unwrap();
    let chained = web.call("ADD").conf("prevResult", first.clone()).insist(&site, web.vm).await.unwrap();
    let valid = json!([{"containerID": "web", "ifname": "eth0"}]);
    for call in [Call::new("GC", "web"), web.call("GC")] {
        let call = call.conf("cni.dev/valid-attachments", valid.clone());
        assert_eq!(call.run(&site, web.vm).await, Ok(Value::Null));
    }
    assert_eq!(checks(&web, &chained).await, Ok(Value::Null));
    let none = web.call("GC").conf("cni.dev/valid-attachments", json!([]));
    assert_eq!(none.run(&site, web.vm).await, Ok(Value::Null));
    assert_ne!(checks(&web, &chained).await.unwrap_err().code, CHECK_FAILED);
    let checked = Call::new("CHECK", web.name).conf("prevResult", first).run(&site, web.vm).await;
    assert_eq!(checked, Ok(Value::Null));
    assert_eq!(Call::new("DEL", web.name).run(&site, web.vm).await, Ok(Value::Null));
    cni::drop_sandbox(&site, web.vm, web.name).await.unwrap();
    agree(&site).await;
    site.down().await;
}

/// A sandbox that dies without a DEL, as after a forced delete, is in nobody's way: the first ADD elsewhere succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_whose_sandbox_died_is_made_anew_elsewhere_at_once() {
    let site = Site::up(lab("forced", Vmm::Namespace).vms(2)).await;
    let old = Fraction { site: &site, vm: "vm1", name: "web" };
    let anew = Fraction { vm: "vm2", ..old };
    old.joins().await;
    Fraction { site: &site, vm: "vm2", name: "app" }.joins().await;
    cni::drop_sandbox(&site, old.vm, old.name).await.unwrap();
    cni::sandbox(&site, anew.vm, anew.name).await.unwrap();
    anew.call("ADD").run(&site, anew.vm).await.unwrap();
    let expected = [("web", 0, "vm2"), ("app", 1, "vm2")];
    let expected = expected.map(|(name, place, vm)| (name.to_owned(), place, vm.to_owned()));
    assert_eq!(places(&site).await, expected);
    // The runtime takes the old one away at last, which is none of the new one's business.
    old.leaves().await;
    assert_eq!(places(&site).await, expected);
    for name in ["web", "app"] {
        let fraction = Fraction { name, ..anew };
        fraction.leaves().await;
        cni::drop_sandbox(&site, fraction.vm, name).await.unwrap();
    }
    agree(&site).await;
    site.down().await;
}

/// A VM that dies under a connection: its peer is told, and does not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_vm_resets_its_connections() {
    let site = Site::up(lab("dead", Vmm::Qemu).vms(2)).await;
    let (web, database) = ("web", "database");
    for (vm, name) in [("vm1", web), ("vm2", database)] {
        Fraction { site: &site, vm, name }.joins().await;
    }
    let asks = Fraction { site: &site, vm: "vm1", name: web };
    let serves = Fraction { site: &site, vm: "vm2", name: database };
    serves.runs(&format!("busybox nc -l -p {PORT} -e busybox sleep 1000 >/dev/null 2>&1 & echo")).await;
    serves.listens(PORT).await;
    asks.runs(&format!("busybox nc 127.0.0.1 {PORT} <>/dev/zero >/dev/null 2>/tmp/said & echo $! >/tmp/pid"))
        .await;
    eventually("a connection", || async {
        let flows = split::group(&site).await.flows;
        if flows.iter().any(|flow| flow.state == "bound") { Ok(()) } else { Err(format!("{flows:?}")) }
    })
    .await;
    let qemu = site.vm("vm2").unwrap().process().unwrap();
    tokio::task::spawn_blocking(move || qemu.kill(nestless_test::PATIENCE)).await.unwrap().unwrap();
    eventually("the connection's end", || async {
        let lives = asks.runs("kill -0 $(cat /tmp/pid) 2>/dev/null && echo lives").await;
        if lives.text().contains("lives") { Err("it hangs".to_owned()) } else { Ok(()) }
    })
    .await;
    is_refused(&asks).await;
    // What was in it is made anew elsewhere by the first ADD, with its own ports.
    let anew = Fraction { vm: "vm1", ..serves };
    cni::sandbox(&site, anew.vm, anew.name).await.unwrap();
    anew.call("ADD").run(&site, anew.vm).await.unwrap();
    let fractions = split::group(&site).await.group.unwrap().fractions;
    let told: Vec<_> = fractions.iter().map(|f| (&*f.name, f.place, &*f.vm, &*f.before)).collect();
    assert_eq!(told, [("web", 0, "vm1", ""), ("database", 1, "vm1", "vm2")]);
    site.down().await;
}

/// Who does not answer has nobody wait for ever: a fraction without IPv6, and one whose VM is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fraction_that_says_nothing_keeps_nobody_waiting() {
    let site = Site::up(lab("silent", Vmm::Qemu).vms(3).own_program(Echo::PROGRAM)).await;
    let [web, app, database] = split::fractions(&site);
    for fraction in [&web, &app, &database] {
        fraction.joins().await;
    }
    database.runs("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6").await.success("no IPv6").unwrap();
    is_refused(&web).await;
    is_refused(&app).await;

    let qemu = Pid::from_raw(site.vm("vm3").unwrap().process().unwrap().pid.cast_signed());
    kill(qemu, Signal::SIGSTOP).unwrap();
    is_refused(&web).await;
    let server = Echo::serve(&site, app.vm, app.name, PORT, PORT).await;
    is_answered(&web).await;
    server.end().await;
    is_refused(&web).await;
    kill(qemu, Signal::SIGCONT).unwrap();

    database.runs("echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6").await.success("IPv6").unwrap();
    let server = Echo::serve(&site, database.vm, database.name, PORT, PORT).await;
    eventually("the fraction that is back", || async {
        let said = web.runs(&format!("busybox nc -w 20 ::1 {PORT} </dev/null 2>&1")).await.text();
        if said.trim() == "::1" { Ok(()) } else { Err(said) }
    })
    .await;
    server.end().await;
    site.down().await;
}
