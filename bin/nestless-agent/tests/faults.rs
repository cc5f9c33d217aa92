//! The host goes away, the agent is killed, sandboxes vanish: nothing is lost and nothing is left.

use crate::world::World;
use nestless_support::netns::Namespace;
use serde_json::{Value, json};
use std::process::Command;

fn none() -> Value {
    json!({})
}

#[test]
fn a_sandbox_that_vanishes_is_detached() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    world.cni("ADD", "a", Some(&sandbox), none()).ok();
    Namespace::delete(&sandbox).unwrap();
    world.host.until("the agent detaches", |state| state.attachments.is_empty());
    world.finish();
}

#[test]
fn a_sandbox_that_vanishes_under_a_restarted_agent_is_detached() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    world.cni("ADD", "a", Some(&sandbox), none()).ok();
    world.kill_agent();
    world.start_agent();
    Namespace::delete(&sandbox).unwrap();
    world.host.until("the agent detaches", |state| state.attachments.is_empty());
    world.finish();
}

#[test]
fn a_sandbox_that_vanishes_while_no_agent_runs_is_detached() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    world.cni("ADD", "a", Some(&sandbox), none()).ok();
    world.kill_agent();
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    assert_eq!(world.cni("ADD", "b", Some(&sandbox), none()).code(), 11);
    assert_eq!(world.cni("STATUS", "", None, none()).code(), 50);
    Namespace::delete(&sandbox).unwrap();
    world.start_agent();
    world.host.until("the agent detaches", |state| state.attachments.is_empty());
    world.finish();
}

/// Where the sandbox lives on, nothing but the note tells.
#[test]
fn a_del_while_no_agent_runs_is_carried_out_by_the_next_one() {
    let mut world = World::new();
    let (sandbox, other) = (world.sandbox("a"), world.sandbox("b"));
    let mapped = json!({"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}});
    world.cni("ADD", "a", Some(&sandbox), mapped.clone()).ok();
    let result = world.cni("ADD", "b", Some(&other), none()).ok();
    for host_is_there in [true, false] {
        world.kill_agent();
        if !host_is_there {
            world.host.stop();
        }
        for container in ["a", "a", "never"] {
            world.cni("DEL", container, Some(&sandbox), none()).ok();
        }
        world.start_agent();
        assert_eq!(world.links_at(&sandbox), [], "the next agent has not read the note");
        let list = || Command::new("nft").args(["list", "ruleset"]).output().unwrap().stdout;
        let ruleset = String::from_utf8(world.vm.run_blocking(list).unwrap()).unwrap();
        assert!(!ruleset.contains("dnat"), "{ruleset}");
        if !host_is_there {
            world.host.start();
        }
        world.host.until("the detachment is told", |state| state.attachments.keys().all(|key| key.0 == "b"));
        assert_eq!(std::fs::read_dir(world.run_dir().join("ended")).unwrap().count(), 0, "notes are left");
        // Its name is free for another life, which no note ends.
        world.cni("ADD", "a", Some(&sandbox), mapped.clone()).ok();
        world.kill_agent();
        world.start_agent();
        assert_eq!(world.links_at(&sandbox).len(), 1);
    }
    world.cni("CHECK", "b", Some(&other), json!({"prevResult": result})).ok();
    for (container, sandbox) in [("a", &sandbox), ("b", &other)] {
        world.cni("DEL", container, Some(sandbox), none()).ok();
    }
    world.finish();
}

#[test]
fn a_del_that_cannot_be_left_for_the_next_agent_is_to_come_again() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    world.cni("ADD", "a", Some(&sandbox), none()).ok();
    world.kill_agent();
    std::fs::write(world.run_dir().join("ended"), "in the way").unwrap();
    assert_eq!(world.cni("DEL", "a", Some(&sandbox), none()).code(), 11);
    std::fs::remove_file(world.run_dir().join("ended")).unwrap();
    world.start_agent();
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    assert_eq!(world.links_at(&sandbox), []);
    world.finish();
}

#[test]
fn a_nic_that_returns_to_the_root_namespace_is_detached() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    world.cni("ADD", "a", Some(&sandbox), json!({"runtimeConfig": {"mac": "02:00:5e:10:00:01"}})).ok();
    // What the kernel does to a virtio NIC of a namespace that dies.
    let vm = world.vm.clone();
    world.runtime.block_on(async {
        let inside =
            nestless_support::netlink::Netlink::inside(&Namespace::open(&sandbox).unwrap()).await.unwrap();
        let link = inside.link("eth0").await.unwrap();
        inside.move_to(&link, &vm, None).await.unwrap();
    });
    world.host.until("the agent detaches", |state| state.attachments.is_empty());
    world.finish();
}

#[test]
fn a_del_while_the_host_is_away_is_told_later() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    world.cni("ADD", "a", Some(&sandbox), none()).ok();
    world.host.stop();
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    assert_eq!(world.links_at(&sandbox), []);
    assert_eq!(world.cni("ADD", "b", Some(&sandbox), none()).code(), 11);
    assert!(world.host.state().detached.is_empty());
    world.host.start();
    world.host.until("the detachment is told", |state| state.detached.iter().any(|key| key.0 == "a"));
    world.finish();
}

#[test]
fn a_del_is_remembered_by_the_next_agent() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    world.cni("ADD", "a", Some(&sandbox), none()).ok();
    world.host.stop();
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    world.kill_agent();
    world.start_agent();
    world.host.start();
    world.host.until("the detachment is told", |state| state.detached.iter().any(|key| key.0 == "a"));
    world.finish();
}

#[test]
fn a_pod_outlives_agent_and_host() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    let result = world.cni("ADD", "a", Some(&sandbox), none()).ok();
    world.stop_agent();
    world.start_agent();
    world.kill_agent();
    world.host.stop();
    world.start_agent();
    let before = world.host.state().hellos;
    world
        .host
        .change(|state| state.attachments.values_mut().for_each(|attachment| attachment.in_use = false));
    world.host.start();
    world.host.until("the agent says Hello and confirms", |state| {
        state.hellos > before && state.attachments.values().all(|attachment| attachment.in_use)
    });
    world.cni("CHECK", "a", Some(&sandbox), json!({"prevResult": result})).ok();
    assert!(world.host.state().detached.is_empty());
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    world.finish();
}

#[test]
fn an_attachment_without_a_record_is_adopted() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    let result = world.cni("ADD", "a", Some(&sandbox), none()).ok();
    world.kill_agent();
    std::fs::remove_dir_all(world.run_dir().join("attachments")).unwrap();
    world
        .host
        .change(|state| state.attachments.values_mut().for_each(|attachment| attachment.in_use = false));
    world.start_agent();
    world
        .host
        .until("it is confirmed", |state| state.attachments.values().all(|attachment| attachment.in_use));
    world.cni("CHECK", "a", Some(&sandbox), json!({"prevResult": result})).ok();
    world.cni("DEL", "a", None, none()).ok();
    assert_eq!(world.links_at(&sandbox), []);
    world.finish();
}

#[test]
fn an_answer_that_is_lost_with_the_connection_is_asked_for_again() {
    let mut world = World::new();
    let sandbox = world.sandbox("a");
    world.host.change(|state| state.lose_answers = 1);
    let (caller, path) = (world.caller(), sandbox.clone());
    let add = std::thread::spawn(move || caller.cni("ADD", "a", Some(&path), none()).ok());
    world.host.until("the NIC is plugged", |state| state.attachments.len() == 1);
    world.host.stop();
    world.host.start();
    let result = add.join().unwrap();
    assert_eq!(world.host.state().requests.len(), 1, "the second request had another id");
    world.cni("CHECK", "a", Some(&sandbox), json!({"prevResult": result})).ok();
    world.cni("DEL", "a", Some(&sandbox), none()).ok();
    world.finish();
}

#[test]
fn an_agent_killed_in_the_middle_of_an_add_leaves_nothing() {
    let mut world = World::new();
    // While the host has not answered, and while the NIC is waited for.
    for (name, lost, absent) in [("asked", 1, false), ("waiting", 0, true)] {
        let sandbox = world.sandbox(name);
        world.host.change(|state| (state.lose_answers, state.plug_nothing) = (lost, absent));
        let (caller, path) = (world.caller(), sandbox.clone());
        let add = std::thread::spawn(move || caller.cni("ADD", name, Some(&path), none()).code());
        world
            .host
            .until("the host has attached it", |state| state.attachments.keys().any(|key| key.0 == name));
        world.kill_agent();
        assert_eq!(add.join().unwrap(), 11);
        world.host.change(|state| state.plug_nothing = false);
        world.start_agent();
        world.host.until("the new agent takes it back", |state| state.attachments.is_empty());
        assert_eq!(world.links_at(&sandbox), []);
    }
    world.finish();
}

/// Wherever the kill lands, the next agent puts things right.
#[test]
fn an_agent_killed_at_any_moment_leaves_nothing() {
    let mut world = World::new();
    for round in 0..8 {
        let name = format!("r{round}");
        let sandbox = world.sandbox(&name);
        let (caller, path, container) = (world.caller(), sandbox.clone(), name.clone());
        let calls = std::thread::spawn(move || {
            let _ = caller.cni("ADD", &container, Some(&path), none());
            let _ = caller.cni("DEL", &container, Some(&path), none());
        });
        world.host.until("the call has reached the host", |state| state.traces.len() > round);
        // Spread over the call's length by work of its own, not by a clock.
        for _ in 0..round * 400 {
            std::hint::black_box(std::fs::read("/proc/self/stat").unwrap());
        }
        world.kill_agent();
        calls.join().unwrap();
        world.start_agent();
        world.cni("DEL", &name, Some(&sandbox), none()).ok();
        world.host.until("nothing is attached", |state| state.attachments.is_empty());
        assert_eq!(world.links_at(&sandbox), []);
    }
    world.finish();
}
