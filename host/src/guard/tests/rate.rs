//! The buckets. The rates are so small that no test run lasts long enough to refill a frame's worth.

use super::{
    frame::{TCP, ipv4},
    world::{World, rules},
};
use crate::guard::{entry::entry, pinned, tables};
use aya::{TestRun as _, TestRunOptions, programs::SchedClassifier};
use nestless_model::guard::{GuardRules, RateLimit};
use nestless_support::hook::Way;

const LOOPBACK: u32 = 1;
const FRAME_BYTES: u64 = 1000;
/// A byte refills in eight seconds.
const SLOW: u64 = 1;

fn frame() -> Vec<u8> {
    ipv4("10.88.0.2", TCP, 0, &[], &vec![0; FRAME_BYTES as usize - 34])
}

fn send(program: &SchedClassifier, frames: u32) {
    let frame = frame();
    assert_eq!(frame.len() as u64, FRAME_BYTES);
    program
        .test_run(TestRunOptions { data_in: Some(&frame), repeat: frames, ..TestRunOptions::default() })
        .unwrap();
}

fn limit(frames: u64) -> Option<RateLimit> {
    Some(RateLimit { bits_per_second: SLOW, burst_bits: frames * FRAME_BYTES * 8 })
}

#[test]
fn a_full_bucket_lets_through_what_it_holds_in_each_direction() {
    let world = World::enter();
    let mut pinned = pinned::open(&world.pins, Way::Tcx).unwrap();
    let rules = GuardRules { egress: limit(10), ingress: limit(4), ..rules() };
    tables::clear(&mut pinned, LOOPBACK).unwrap();
    tables::write(&mut pinned, LOOPBACK, &entry(&rules, LOOPBACK).unwrap()).unwrap();
    send(&pinned.sent, 25);
    send(&pinned.received, 25);
    let counters = tables::counters(&pinned, LOOPBACK).unwrap().unwrap();
    assert_eq!((counters.passed, counters.passed_bytes), (10, 10 * FRAME_BYTES));
    assert_eq!((counters.dropped.egress_rate, counters.dropped.ingress_rate), (15, 21));
}

#[test]
fn writing_the_rules_again_fills_no_bucket() {
    let world = World::enter();
    let mut pinned = pinned::open(&world.pins, Way::Tcx).unwrap();
    let entry = entry(&GuardRules { egress: limit(3), ..rules() }, LOOPBACK).unwrap();
    tables::clear(&mut pinned, LOOPBACK).unwrap();
    for _ in 0..2 {
        tables::write(&mut pinned, LOOPBACK, &entry).unwrap();
        send(&pinned.sent, 5);
    }
    assert_eq!(tables::counters(&pinned, LOOPBACK).unwrap().unwrap().passed, 3);
}

#[test]
fn a_frame_larger_than_the_bucket_goes_once_and_leaves_a_debt() {
    let world = World::enter();
    let mut pinned = pinned::open(&world.pins, Way::Tcx).unwrap();
    let small = Some(RateLimit { bits_per_second: SLOW, burst_bits: 8 });
    tables::clear(&mut pinned, LOOPBACK).unwrap();
    tables::write(&mut pinned, LOOPBACK, &entry(&GuardRules { egress: small, ..rules() }, LOOPBACK).unwrap())
        .unwrap();
    send(&pinned.sent, 5);
    assert_eq!(tables::counters(&pinned, LOOPBACK).unwrap().unwrap().passed, 1);
}

#[test]
fn a_segmentation_offloaded_frame_passes_and_is_charged_as_on_the_wire() {
    let world = World::enter();
    let mut pinned = pinned::open(&world.pins, Way::Tcx).unwrap();
    tables::clear(&mut pinned, LOOPBACK).unwrap();
    tables::write(&mut pinned, LOOPBACK, &entry(&rules(), LOOPBACK).unwrap()).unwrap();
    let headers = 54;
    let frame = ipv4("10.88.0.2", TCP, 0, &[], &[0; 20 + 3000]);
    // `gso_size` in struct __sk_buff (linux/bpf.h).
    let mut context = [0; 192];
    context[176..180].copy_from_slice(&1000_u32.to_ne_bytes());
    let options =
        TestRunOptions { data_in: Some(&frame), ctx_in: Some(&context), ..TestRunOptions::default() };
    assert_eq!(pinned.sent.test_run(options).unwrap().return_value, u32::MAX);
    let counters = tables::counters(&pinned, LOOPBACK).unwrap().unwrap();
    assert_eq!((counters.passed, counters.passed_bytes), (1, 3 * (headers + 1000)));
}
