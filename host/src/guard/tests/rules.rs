//! Each rule, by the kernel's own test run of the program.

use super::{
    frame::{cases, icmpv6, ipv4, ipv6, udp},
    world::{MAC, World, rules},
};
use crate::guard::{Counters, entry::entry, pinned::Pinned, tables};
use aya::{TestRun as _, TestRunOptions};
use nestless_support::hook::Way;
use proptest::{collection, prelude::*, sample::Index, test_runner::TestRunner};

/// The test run's frames come from `lo`.
const LOOPBACK: u32 = 1;

/// What was counted for one frame: "" when it passed, else the reason.
fn judge(pinned: &mut Pinned, frame: &[u8]) -> String {
    let before = tables::counters(pinned, LOOPBACK).unwrap().unwrap();
    let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
    let passed = pinned.sent.test_run(options).unwrap().return_value == u32::MAX;
    let after = tables::counters(pinned, LOOPBACK).unwrap().unwrap();
    assert_eq!(after.passed - before.passed, u64::from(passed));
    difference(&before, &after)
}

/// The one reason whose count grew by one.
fn difference(before: &Counters, after: &Counters) -> String {
    let grown: Vec<_> =
        before.dropped.by_reason().zip(after.dropped.by_reason()).filter(|(b, a)| b != a).collect();
    match grown[..] {
        [] => String::new(),
        [((name, b), (_, a))] if a == b + 1 => name.to_owned(),
        _ => panic!("counted under {grown:?}"),
    }
}

fn loaded(world: &World, rules: &nestless_model::guard::GuardRules) -> Pinned {
    let mut pinned = crate::guard::pinned::open(&world.pins, Way::Tcx).unwrap();
    tables::clear(&mut pinned, LOOPBACK).unwrap();
    tables::write(&mut pinned, LOOPBACK, &entry(rules, LOOPBACK).unwrap()).unwrap();
    pinned
}

#[test]
fn each_frame_is_judged_as_the_rules_say() {
    let world = World::enter();
    let mut pinned = loaded(&world, &rules());
    let wrong: Vec<_> = cases()
        .into_iter()
        // Those the kernel refuses to make a test packet of; they are tried on the wire.
        .filter(|(name, _, _)| !["IPv4 cut off", "IPv6 cut off"].contains(name))
        .map(|(name, frame, reason)| (name, judge(&mut pinned, &frame), reason))
        .filter(|(_, got, wanted)| got != wanted)
        .collect();
    assert!(wrong.is_empty(), "(frame, got, wanted): {wrong:#?}");
}

#[test]
fn a_router_and_a_dhcp_server_may_be_what_they_are() {
    let world = World::enter();
    let mut pinned =
        loaded(&world, &nestless_model::guard::GuardRules { router: true, dhcp_server: true, ..rules() });
    for frame in [
        ipv4("10.88.0.2", 17, 0, &[], &udp(67)),
        ipv6("fd00::2", 17, &udp(547)),
        ipv6("fd00::2", 58, &icmpv6(134, &[0; 8])),
        ipv6("fd00::2", 58, &icmpv6(137, &[0; 32])),
        ipv6("fd00::2", 58, &icmpv6(130, &[0; 16])),
        ipv6("fd00::2", 103, &[0x20, 0, 0, 0]),
        ipv4("10.88.0.2", 2, 0, &[], &[0x11, 0, 0, 0, 0, 0, 0, 0]),
        ipv4("10.88.0.2", 103, 0, &[], &[0x20, 0, 0, 0]),
    ] {
        assert_eq!(judge(&mut pinned, &frame), "");
    }
    let forged = [&[0; 8][..], &[1, 1, 2, 0, 0, 0, 0, 2]].concat();
    assert_eq!(judge(&mut pinned, &ipv6("fd00::2", 58, &icmpv6(134, &forged))), "neighbour");
}

#[test]
fn nothing_leaves_without_an_entry_or_with_another_links() {
    let world = World::enter();
    let mut pinned = loaded(&world, &rules());
    let frame = ipv4("10.88.0.2", 17, 0, &[], &udp(1000));
    assert_eq!(judge(&mut pinned, &frame), "");
    // As if the row's memory were another link's by now.
    tables::write(&mut pinned, LOOPBACK, &entry(&rules(), 9).unwrap()).unwrap();
    assert_eq!(judge(&mut pinned, &frame), "closed");
    tables::clear(&mut pinned, LOOPBACK).unwrap();
    assert_eq!(judge(&mut pinned, &frame), "closed");
}

#[test]
fn all_eight_addresses_of_a_family_are_the_nics_own() {
    let world = World::enter();
    let addresses: Vec<_> =
        (1..=8u16).flat_map(|n| [[10, 0, 0, n as u8].into(), [0xfd00, 0, 0, 0, 0, 0, 0, n].into()]).collect();
    let mut pinned = loaded(&world, &nestless_model::guard::GuardRules { addresses, ..rules() });
    for n in 1..=8 {
        assert_eq!(judge(&mut pinned, &ipv4(&format!("10.0.0.{n}"), 6, 0, &[], &[0; 20])), "");
        assert_eq!(judge(&mut pinned, &ipv6(&format!("fd00::{n}"), 6, &[0; 20])), "");
    }
    assert_eq!(judge(&mut pinned, &ipv4("10.0.0.9", 6, 0, &[], &[0; 20])), "source_ipv4");
    assert_eq!(judge(&mut pinned, &ipv6("fd00::9", 6, &[0; 20])), "source_ipv6");
}

/// What must hold of any frame that passed, whatever else is in it.
fn is_own(frame: &[u8]) -> bool {
    let is_v6 = |bytes: &[u8]| {
        let own: [std::net::Ipv6Addr; 3] =
            ["fd00::2", "fe80::ff:fe00:1", "::"].map(|text| text.parse().expect("an address"));
        own.iter().any(|own| own.octets() == bytes)
    };
    frame[6..12] == MAC
        && match frame[12..14] {
            [8, 0] => frame[26..30] == [10, 88, 0, 2],
            [8, 6] => {
                frame[22..28] == MAC && [[10, 88, 0, 2], [0; 4]].iter().any(|own| frame[28..32] == *own)
            }
            [0x86, 0xdd] => is_v6(&frame[22..38]),
            _ => false,
        }
}

#[test]
fn no_frame_with_another_source_passes_however_it_is_garbled() {
    let world = World::enter();
    let pinned = std::cell::RefCell::new(loaded(&world, &rules()));
    let frames: Vec<_> =
        cases().into_iter().map(|(_, frame, _)| frame).filter(|frame| frame.len() >= 54).collect();
    let garbled = (proptest::sample::select(frames), collection::vec((any::<Index>(), any::<u8>()), 0..4));
    let config = ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&garbled, |(mut frame, changes)| {
            for (place, byte) in changes {
                *place.get_mut(&mut frame) = byte;
            }
            let reason = judge(&mut pinned.borrow_mut(), &frame);
            prop_assert!(!reason.is_empty() || is_own(&frame), "passed: {frame:02x?}");
            Ok(())
        })
        .unwrap();
    assert!(tables::counters(&pinned.borrow(), LOOPBACK).unwrap().unwrap().passed > 0);
}
