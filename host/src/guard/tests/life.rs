//! Restarts, upgrades, and links that come and go.

use super::world::{World, ifindex, ip, link, rules};
use crate::EbpfError;
use crate::guard::{Guard, GuardError, LinkState, clsact, clsact::Hook, entry::entry, tables};
use nestless_model::guard::GuardRules;
use std::path::Path;

fn state(guard: &Guard, index: u32) -> Option<LinkState> {
    guard.observe().unwrap().into_iter().find(|seen| seen.ifindex == index).map(|seen| seen.state)
}

fn veth(name: &str) -> u32 {
    ip(&format!("link add {name} type veth peer name {name}p"));
    ifindex(name)
}

#[test]
fn a_link_is_unguarded_then_closed_then_protected_and_closed_again() {
    let world = World::enter();
    let index = veth("nl1");
    let guard = world.guard();
    assert_eq!(state(&guard, index), Some(LinkState::Unguarded));
    guard.close(&link("nl1")).unwrap();
    assert_eq!(state(&guard, index), Some(LinkState::Closed));
    for _ in 0..2 {
        guard.protect(&link("nl1"), &rules()).unwrap();
        assert_eq!(state(&guard, index), Some(LinkState::Protected));
    }
    guard.close(&link("nl1")).unwrap();
    assert_eq!(state(&guard, index), Some(LinkState::Closed));
}

#[test]
fn entries_filters_and_generations_outlive_the_daemon() {
    let world = World::enter();
    let index = veth("nl1");
    let first = world.guard();
    first.protect(&link("nl1"), &rules()).unwrap();
    let (filter, row) =
        (clsact::get(index, Hook::Ingress).unwrap(), tables::entry(&first.pinned(), index).unwrap());
    drop(first);
    assert_eq!(clsact::get(index, Hook::Ingress).unwrap(), filter, "the filter is the link's own");
    let second = world.guard();
    assert_eq!(state(&second, index), Some(LinkState::Protected));
    second.protect(&link("nl1"), &rules()).unwrap();
    assert_eq!(clsact::get(index, Hook::Ingress).unwrap(), filter);
    assert_eq!(tables::entry(&second.pinned(), index).unwrap(), row);
}

#[test]
fn an_entry_left_behind_does_not_apply_to_a_later_link_of_the_same_index() {
    let world = World::enter();
    ip("link add nl1 index 77 type veth peer name nl1p");
    let guard = world.guard();
    guard.protect(&link("nl1"), &rules()).unwrap();
    ip("link del nl1");
    assert_eq!(state(&guard, 77), Some(LinkState::Gone));
    ip("link add nl2 index 77 type veth peer name nl2p");
    assert_eq!(state(&guard, 77), Some(LinkState::Unguarded));
    // A crash just after the new link's filter was attached, when the old entry is still there.
    clsact::set(&mut guard.pinned().sent, "nl2", Hook::Ingress, 1000, false).unwrap();
    clsact::set(&mut guard.pinned().received, "nl2", Hook::Egress, 1000, false).unwrap();
    assert_eq!(state(&guard, 77), Some(LinkState::Closed));
    guard.forget(77).unwrap();
    guard.close(&link("nl2")).unwrap();
    assert!(tables::entry(&guard.pinned(), 77).unwrap().is_none());
}

#[test]
fn forgetting_leaves_no_row_and_closes_a_link_that_is_there() {
    let world = World::enter();
    let index = veth("nl1");
    let guard = world.guard();
    guard.protect(&link("nl1"), &rules()).unwrap();
    for _ in 0..2 {
        guard.forget(index).unwrap();
        assert_eq!(tables::indexes(&guard.pinned()).unwrap(), Vec::<u32>::new());
    }
    assert_eq!(state(&guard, index), Some(LinkState::Closed));
}

#[test]
fn programs_of_another_version_are_exchanged_in_place() {
    let world = World::enter();
    let index = veth("nl1");
    let guard = world.guard();
    guard.protect(&link("nl1"), &rules()).unwrap();
    let old = clsact::get(index, Hook::Ingress).unwrap().unwrap();
    drop(guard);
    // Without its programs an instance looks like one of another version: other programs, the same tables.
    let programs = std::fs::read_dir(&world.pins).unwrap().map(|entry| entry.unwrap().path());
    for path in programs.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("programs-")) {
        std::fs::rename(&path, path.with_file_name("programs-0")).unwrap();
    }
    let guard = world.guard();
    assert_eq!(state(&guard, index), Some(LinkState::Outdated));
    assert_eq!(clsact::get(index, Hook::Ingress).unwrap(), Some(old), "the old filter is still in force");
    guard.protect(&link("nl1"), &rules()).unwrap();
    let new = clsact::get(index, Hook::Ingress).unwrap().unwrap();
    assert_eq!((new.generation, new.program_id == old.program_id), (old.generation, false));
    assert_eq!(state(&guard, index), Some(LinkState::Protected));
    assert!(!world.pins.join("programs-0").exists());
}

#[test]
fn bad_rules_change_nothing() {
    let world = World::enter();
    let index = veth("nl1");
    let guard = world.guard();
    guard.protect(&link("nl1"), &rules()).unwrap();
    let bad = GuardRules { addresses: vec!["ff02::1".parse().unwrap()], ..rules() };
    assert!(matches!(guard.protect(&link("nl1"), &bad), Err(GuardError::Rules { .. })));
    let row = tables::entry(&guard.pinned(), index).unwrap().unwrap();
    assert_eq!(row, entry(&rules(), row.generation).unwrap());
    assert!(matches!(guard.protect(&link("nl9"), &rules()), Err(GuardError::Ebpf(EbpfError::NoLink { .. }))));
}

#[test]
fn removal_leaves_no_pin_and_opens_no_link() {
    let world = World::enter();
    let index = veth("nl1");
    let guard = world.guard();
    guard.protect(&link("nl1"), &rules()).unwrap();
    let filters = [Hook::Ingress, Hook::Egress].map(|hook| clsact::get(index, hook).unwrap());
    assert!(filters.iter().all(Option::is_some));
    guard.remove().unwrap();
    assert!(!world.pins.exists());
    assert_eq!([Hook::Ingress, Hook::Egress].map(|hook| clsact::get(index, hook).unwrap()), filters);
}

#[test]
fn an_ebpf_file_system_is_mounted_where_it_belongs_and_nowhere_else() {
    let _world = World::enter();
    // In this test's mount namespace alone: what else is mounted on this machine stays.
    let _ = nix::mount::umount2("/sys/fs/bpf", nix::mount::MntFlags::MNT_DETACH);
    assert_eq!(std::fs::read_dir("/sys/fs/bpf").unwrap().count(), 0);
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        Guard::open(&dir.path().join("x")),
        Err(GuardError::Ebpf(EbpfError::FileSystem { .. }))
    ));
    let pins = Path::new("/sys/fs/bpf/nestless-test/instance");
    Guard::open(pins).unwrap().remove().unwrap();
    assert!(!pins.exists());
}
