//! Fractions of split pods: what an agent has joined, the next one checks and takes apart, and every sandbox gets back what
//! it had.

use crate::world::World;
use nestless_support::{
    clsact::Hook,
    hook::{self, Way},
    netlink::Netlink,
    netns::Namespace,
};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

/// CNI's number of ours.
const CHECK_FAILED: u64 = 111;
/// In every namespace.
const LO: u32 = 1;
const STEER: &str = "steer_out";
const SYSCTLS: [&str; 3] = [
    "/proc/sys/net/ipv4/ip_local_port_range",
    "/proc/sys/net/ipv4/conf/lo/route_localnet",
    "/proc/sys/net/ipv4/conf/lo/accept_local",
];

fn fraction() -> Value {
    json!({"mode": "loopback", "loopback": {"group": "shop", "fraction": "web"}})
}

fn after(result: &Value) -> Value {
    let mut conf = fraction();
    conf["prevResult"] = result.clone();
    conf
}

/// All that joining changes in a sandbox that stays.
fn behaviour(world: &World, sandbox: &Path) -> Vec<String> {
    let namespace = Namespace::open(sandbox).unwrap();
    let lo = world
        .runtime
        .block_on(async { Netlink::inside(&namespace).await.unwrap().link("lo").await.unwrap() });
    let read = || {
        let sysctls = SYSCTLS.map(|path| fs::read_to_string(path).unwrap());
        let qdiscs = Command::new("tc").args(["qdisc", "show", "dev", "lo"]).output().unwrap();
        assert!(qdiscs.status.success());
        let steer = hook::look(Way::of_kernel().unwrap(), LO, Hook::Egress, &[STEER]).unwrap();
        let steer = if steer.program_id.is_some() { "steer" } else { "" };
        let hooks = String::from_utf8(qdiscs.stdout).unwrap().contains("clsact");
        sysctls.into_iter().chain([steer.to_owned(), format!("clsact: {hooks}")]).collect::<Vec<_>>()
    };
    let mut found = namespace.run_blocking(read).unwrap();
    found.push(format!("MTU {}, alias {:?}", lo.mtu_bytes, lo.alias));
    found
}

/// Two sandboxes: one as it comes, and one with settings of its own.
fn sandboxes(world: &mut World) -> [std::path::PathBuf; 2] {
    let [plain, odd] = ["plain", "odd"].map(|name| world.sandbox(name));
    let own = || {
        fs::write(SYSCTLS[0], "40000 50000").unwrap();
        fs::write(SYSCTLS[1], "1").unwrap();
    };
    Namespace::open(&odd).unwrap().run_blocking(own).unwrap();
    [plain, odd]
}

fn is_a_fraction(world: &World, sandbox: &Path) {
    let found = behaviour(world, sandbox);
    assert_eq!(found[0], "32768\t34531\n", "the ports of place 0");
    assert!(found[3].contains("steer"), "{found:?}");
    assert_eq!(world.links_at(sandbox)[0].name, "hostlo0");
}

#[test]
fn what_one_agent_has_joined_the_next_checks_and_leaves() {
    let mut world = World::new();
    for sandbox in sandboxes(&mut world) {
        let before = behaviour(&world, &sandbox);
        let result = world.cni("ADD", "a", Some(&sandbox), fraction()).ok();
        is_a_fraction(&world, &sandbox);
        world.kill_agent();
        world.start_agent();
        is_a_fraction(&world, &sandbox);
        world.cni("CHECK", "a", Some(&sandbox), after(&result)).ok();
        // As an administrator's hand may do it.
        let take_off = || hook::clear(Way::of_kernel().unwrap(), "lo", Hook::Egress, &[STEER]);
        Namespace::open(&sandbox).unwrap().run_blocking(take_off).unwrap().unwrap();
        assert_eq!(world.cni("CHECK", "a", Some(&sandbox), after(&result)).code(), CHECK_FAILED);
        world.kill_agent();
        world.start_agent();
        world.cni("DEL", "a", Some(&sandbox), fraction()).ok();
        assert_eq!(behaviour(&world, &sandbox), before);
        assert_eq!(world.links_at(&sandbox), []);
    }
    world.finish();
}

/// A DEL may name any sandbox: one that is another fraction's stays as it is.
#[test]
fn a_fraction_leaves_nobody_elses_localhost() {
    let mut world = World::new();
    let [mine, theirs] = sandboxes(&mut world);
    let before = behaviour(&world, &mine);
    let result = world.cni("ADD", "theirs", Some(&theirs), fraction()).ok();
    let joined = behaviour(&world, &theirs);
    world.cni("ADD", "mine", Some(&mine), fraction()).ok();
    world.cni("DEL", "mine", Some(&theirs), fraction()).ok();
    assert_eq!(behaviour(&world, &mine), before);
    world.cni("DEL", "never", Some(&theirs), fraction()).ok();
    assert_eq!(behaviour(&world, &theirs), joined);
    world.cni("CHECK", "theirs", Some(&theirs), after(&result)).ok();
    world.cni("DEL", "theirs", Some(&theirs), fraction()).ok();
    world.finish();
}

#[test]
fn a_fraction_without_a_record_is_adopted() {
    let mut world = World::new();
    for sandbox in sandboxes(&mut world) {
        let before = behaviour(&world, &sandbox);
        let result = world.cni("ADD", "a", Some(&sandbox), fraction()).ok();
        world.kill_agent();
        fs::remove_dir_all(world.run_dir().join("attachments")).unwrap();
        world
            .host
            .change(|state| state.attachments.values_mut().for_each(|attachment| attachment.in_use = false));
        world.start_agent();
        world.host.until("it is confirmed", |state| state.attachments.values().all(|a| a.in_use));
        world.cni("CHECK", "a", Some(&sandbox), after(&result)).ok();
        world.cni("DEL", "a", None, fraction()).ok();
        assert_eq!(behaviour(&world, &sandbox), before);
        assert_eq!(world.links_at(&sandbox), []);
    }
    world.finish();
}

/// Wherever the kill lands, the next agent gives the sandbox back what it had.
#[test]
fn an_agent_killed_at_any_moment_of_a_join_changes_nothing() {
    let mut world = World::new();
    let [_, sandbox] = sandboxes(&mut world);
    let before = behaviour(&world, &sandbox);
    for round in 0..12 {
        let name = format!("r{round}");
        let (caller, path, container) = (world.caller(), sandbox.clone(), name.clone());
        let join = std::thread::spawn(move || {
            let _ = caller.cni("ADD", &container, Some(&path), fraction());
        });
        world.host.until("the call has reached the host", |state| state.traces.len() > round);
        // Spread over the join's length by work of its own, not by a clock.
        for _ in 0..round * 500 {
            std::hint::black_box(fs::read("/proc/self/stat").unwrap());
        }
        world.kill_agent();
        join.join().unwrap();
        world.start_agent();
        world.cni("DEL", &name, Some(&sandbox), fraction()).ok();
        world.host.until("nothing is attached", |state| state.attachments.is_empty());
        assert_eq!(behaviour(&world, &sandbox), before, "round {round}");
        assert_eq!(world.links_at(&sandbox), []);
    }
    world.finish();
}
