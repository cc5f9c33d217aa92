//! Restarts, upgrades, and links that come and go.

use super::world::{World, each_way, ifindex, ip, link, rules};
use crate::EbpfError;
use crate::ebpf::filters::look;
use crate::guard::{Guard, GuardError, LinkState, entry::entry, tables};
use nestless_model::guard::GuardRules;
use nestless_support::{
    clsact::Hook,
    hook::{Look, Way},
};
use std::path::Path;

fn state(guard: &Guard, index: u32) -> Option<LinkState> {
    guard.observe().unwrap().into_iter().find(|seen| seen.ifindex == index).map(|seen| seen.state)
}

fn veth(name: &str) -> u32 {
    ip(&format!("link add {name} type veth peer name {name}p"));
    ifindex(name)
}

fn hooks(way: Way, index: u32) -> [Look; 2] {
    [Hook::Ingress, Hook::Egress].map(|hook| look(way, index, hook).unwrap())
}

#[test]
fn a_link_is_unguarded_then_closed_then_protected_and_closed_again() {
    each_way(|world, way| {
        let index = veth("nl1");
        let guard = world.guard_by(way);
        assert_eq!(state(&guard, index), Some(LinkState::Unguarded));
        guard.close(&link("nl1")).unwrap();
        assert_eq!(state(&guard, index), Some(LinkState::Closed));
        for _ in 0..2 {
            guard.protect(&link("nl1"), &rules()).unwrap();
            assert_eq!(state(&guard, index), Some(LinkState::Protected));
        }
        guard.close(&link("nl1")).unwrap();
        assert_eq!(state(&guard, index), Some(LinkState::Closed));
    });
}

#[test]
fn entries_and_programs_outlive_the_daemon() {
    each_way(|world, way| {
        let index = veth("nl1");
        let first = world.guard_by(way);
        first.protect(&link("nl1"), &rules()).unwrap();
        let (programs, row) = (hooks(way, index), tables::entry(&first.pinned(), index).unwrap());
        drop(first);
        assert_eq!(hooks(way, index), programs, "the programs are the link's own");
        let second = world.guard_by(way);
        assert_eq!(state(&second, index), Some(LinkState::Protected));
        second.protect(&link("nl1"), &rules()).unwrap();
        assert_eq!(hooks(way, index), programs);
        assert_eq!(tables::entry(&second.pinned(), index).unwrap(), row);
    });
}

#[test]
fn a_program_that_somebody_took_off_is_missed_and_put_back() {
    each_way(|world, way| {
        let index = veth("nl1");
        let guard = world.guard_by(way);
        guard.protect(&link("nl1"), &rules()).unwrap();
        for (hook, missed) in [(Hook::Ingress, LinkState::Unguarded), (Hook::Egress, LinkState::Outdated)] {
            crate::ebpf::filters::clear(way, &link("nl1"), index, hook).unwrap();
            assert_eq!(state(&guard, index), Some(missed));
            guard.protect(&link("nl1"), &rules()).unwrap();
            assert_eq!(state(&guard, index), Some(LinkState::Protected));
        }
    });
}

#[test]
fn an_entry_left_behind_does_not_apply_to_a_later_link_of_the_same_index() {
    each_way(|world, way| {
        ip("link add nl1 index 77 type veth peer name nl1p");
        let guard = world.guard_by(way);
        guard.protect(&link("nl1"), &rules()).unwrap();
        ip("link del nl1");
        assert_eq!(state(&guard, 77), Some(LinkState::Gone));
        ip("link add nl2 index 77 type veth peer name nl2p");
        assert_eq!(state(&guard, 77), Some(LinkState::Unguarded));
        guard.close(&link("nl2")).unwrap();
        assert!(tables::entry(&guard.pinned(), 77).unwrap().is_none());
        assert_eq!(state(&guard, 77), Some(LinkState::Closed));

        guard.protect(&link("nl2"), &rules()).unwrap();
        ip("link del nl2");
        ip("link add nl3 index 77 type veth peer name nl3p");
        let other = GuardRules { addresses: vec!["10.88.0.9".parse().unwrap()], ..rules() };
        guard.protect(&link("nl3"), &other).unwrap();
        let row = tables::entry(&guard.pinned(), 77).unwrap().unwrap();
        assert_eq!(row, entry(&other, 77).unwrap());
    });
}

#[test]
fn forgetting_leaves_no_row_and_closes_a_link_that_is_there() {
    each_way(|world, way| {
        let index = veth("nl1");
        let guard = world.guard_by(way);
        guard.protect(&link("nl1"), &rules()).unwrap();
        for _ in 0..2 {
            guard.forget(index).unwrap();
            assert_eq!(tables::indexes(&guard.pinned()).unwrap(), Vec::<u32>::new());
        }
        assert_eq!(state(&guard, index), Some(LinkState::Closed));
    });
}

#[test]
fn programs_of_another_version_are_exchanged_in_place() {
    each_way(|world, way| {
        let index = veth("nl1");
        let guard = world.guard_by(way);
        guard.protect(&link("nl1"), &rules()).unwrap();
        let old = hooks(way, index);
        drop(guard);
        let guard = after_an_upgrade(world, way);
        assert_eq!(state(&guard, index), Some(LinkState::Outdated));
        assert_eq!(hooks(way, index), old, "the old program is still in force");
        guard.protect(&link("nl1"), &rules()).unwrap();
        let new = hooks(way, index);
        assert!(new[0].program_id.is_some() && new[0].program_id != old[0].program_id, "{new:?}");
        assert_eq!(state(&guard, index), Some(LinkState::Protected));
        assert!(!world.pins.join("programs-0").exists());
    });
}

/// Without its programs an instance looks like one of another version: other programs, the same tables.
fn after_an_upgrade(world: &World, way: Way) -> Guard {
    let programs = std::fs::read_dir(&world.pins).unwrap().map(|entry| entry.unwrap().path());
    for path in programs.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("programs-")) {
        std::fs::rename(&path, path.with_file_name("programs-0")).unwrap();
    }
    world.guard_by(way)
}

/// As versions did that knew no TCX, or on a kernel that had none.
#[test]
fn filters_of_the_former_way_are_taken_over() {
    let world = World::enter();
    let index = veth("nl1");
    let former = world.guard_by(Way::Clsact);
    former.protect(&link("nl1"), &rules()).unwrap();
    drop(former);
    let guard = world.guard_by(Way::Tcx);
    assert_eq!(state(&guard, index), Some(LinkState::Outdated), "it is guarded, but not as it should be");
    guard.protect(&link("nl1"), &rules()).unwrap();
    assert_eq!(state(&guard, index), Some(LinkState::Protected));
    assert!(hooks(Way::Clsact, index).iter().all(|seen| seen.program_id.is_none()), "two would charge twice");
}

/// What an administrator's tool puts before the guard, and answers "pass", the guard is not asked about.
#[test]
fn a_program_before_the_guard_is_noticed_until_it_is_gone() {
    each_way(|world, way| {
        let index = veth("nl1");
        let guard = world.guard_by(way);
        guard.protect(&link("nl1"), &rules()).unwrap();
        for hook in [Hook::Ingress, Hook::Egress] {
            let other = world.intruder();
            other.put_before(way, "nl1", hook);
            let seen = state(&guard, index);
            let Some(LinkState::Overtaken { by }) = seen else { panic!("{hook:?}: {seen:?}") };
            assert_eq!(by[0].program_id, Some(other.id()));
            assert_eq!(guard.overtaken_by(&link("nl1")).unwrap(), by);
            for outcome in [guard.protect(&link("nl1"), &rules()), guard.close(&link("nl1"))] {
                let told = outcome.unwrap_err();
                assert!(matches!(told, GuardError::Ebpf(EbpfError::Overtaken { .. })), "{told:?}");
                assert!(told.to_string().contains("on nl1 program"), "{told}");
            }
            other.take_off();
            guard.protect(&link("nl1"), &rules()).unwrap();
            assert_eq!(state(&guard, index), Some(LinkState::Protected));
        }
    });
}

/// Whatever was there before, and whatever comes as most tools do.
#[test]
fn the_guard_goes_before_programs_that_do_not_insist() {
    let world = World::enter();
    let index = veth("nl1");
    let (early, late) = (world.intruder(), world.intruder());
    early.append("nl1", Hook::Ingress);
    let guard = world.guard_by(Way::Tcx);
    guard.protect(&link("nl1"), &rules()).unwrap();
    late.append("nl1", Hook::Ingress);
    assert_eq!(state(&guard, index), Some(LinkState::Protected));
    drop(guard);
    let guard = after_an_upgrade(&world, Way::Tcx);
    guard.protect(&link("nl1"), &rules()).unwrap();
    assert_eq!(state(&guard, index), Some(LinkState::Protected), "it kept its place");
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
    assert_eq!(row, entry(&rules(), index).unwrap());
    assert!(matches!(guard.protect(&link("nl9"), &rules()), Err(GuardError::Ebpf(EbpfError::NoLink { .. }))));
}

#[test]
fn removal_leaves_no_pin_and_opens_no_link() {
    let world = World::enter();
    let index = veth("nl1");
    let guard = world.guard();
    guard.protect(&link("nl1"), &rules()).unwrap();
    let before = hooks(Way::Tcx, index);
    assert!(before.iter().all(|seen| seen.program_id.is_some()));
    guard.remove().unwrap();
    assert!(!world.pins.exists());
    assert_eq!(hooks(Way::Tcx, index), before);
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
