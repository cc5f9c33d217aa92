//! Fleets of a few pods over hours.

use super::*;
use nestless_placement::{Pod, Price, VmSize};
use proptest::prelude::*;

const HOUR: u64 = HOUR_US;

fn catalogue() -> Catalogue {
    let size =
        |name: &str, factor: u64| VmSize::of(name, Price(100_000 * factor), gib(2 * factor, 8 * factor));
    Catalogue::new(vec![size("small", 1), size("medium", 2), size("large", 4)]).unwrap()
}

fn gib(cpu: u64, memory: u64) -> Resources {
    Resources::new(cpu * 1000, memory << 30)
}

/// When a pod comes and goes, and the vCPUs and GiB of its containers.
type Timed<'a> = (u64, Option<u64>, &'a [(u64, u64)]);

fn fleet(pods: &[Timed<'_>]) -> Fleet {
    let mut fleet = Fleet::default();
    for (index, (arrives_us, departs_us, containers)) in pods.iter().enumerate() {
        let pod = Pod::of(index.to_string(), containers.iter().map(|&(cpu, memory)| gib(cpu, memory)));
        fleet.add("c", pod, Lifetime { arrives_us: *arrives_us, departs_us: *departs_us });
    }
    fleet
}

fn replay(fleet: &Fleet, billing: Billing) -> Replay {
    simulate(fleet, &catalogue(), billing, None).unwrap()
}

#[test]
fn hours_and_seconds() {
    let fleet = fleet(&[(0, Some(HOUR / 2), &[(2, 1)]), (0, Some(3 * HOUR), &[(2, 1)])]);
    let (hours, seconds) = (replay(&fleet, Billing::Hour), replay(&fleet, Billing::Second));
    assert!((hours.as_is.usd - 0.4).abs() < 1e-9, "one hour and three: {hours:?}");
    assert!((seconds.as_is.usd - 0.35).abs() < 1e-9, "half an hour and three: {seconds:?}");
    assert_eq!((hours.arrivals, hours.departures, hours.as_is.at_once), (2, 2, 2));
}

#[test]
fn an_empty_vm_serves_to_the_end_of_its_hour() {
    let fleet = fleet(&[(0, Some(HOUR / 4), &[(2, 1)]), (HOUR / 2, Some(HOUR), &[(2, 1)])]);
    assert_eq!(replay(&fleet, Billing::Hour).as_is.bought, 1);
    assert_eq!(replay(&fleet, Billing::Second).as_is.bought, 2);
}

#[test]
fn a_split_pod_uses_room_that_is_there() {
    let fleet = fleet(&[(0, Some(HOUR), &[(1, 1)]), (0, Some(HOUR), &[(1, 1), (2, 1)])]);
    let replay = replay(&fleet, Billing::Second);
    assert!((replay.as_is.usd - 0.3).abs() < 1e-9, "a small and a medium: {replay:?}");
    assert!((replay.split.usd - 0.2).abs() < 1e-9, "two small ones, both full: {replay:?}");
}

#[test]
fn what_no_vm_holds_is_counted() {
    let fleet = fleet(&[(0, Some(5), &[(9, 1)])]);
    let replay = replay(&fleet, Billing::Second);
    assert_eq!((replay.refused, replay.as_is.bought, replay.departures), (1, 0, 1));
}

proptest! {
    #[test]
    fn no_bill_is_under_the_bound(
        pods in proptest::collection::vec((0..5_u64, proptest::option::of(1..5_u64), proptest::collection::vec((0..3_u64, 0..9_u64), 1..4)), 1..20),
        most in proptest::option::of(1..4_u32),
    ) {
        let pods: Vec<_> = pods
            .iter()
            .map(|(from, more, containers)| (from * HOUR / 3, more.map(|more| (from + more) * HOUR / 3), &containers[..]))
            .collect();
        let fleet = fleet(&pods);
        for billing in [Billing::Hour, Billing::Second] {
            let replay = simulate(&fleet, &catalogue(), billing, most).unwrap();
            prop_assert!(replay.bound_usd <= replay.as_is.usd + 1e-9, "{:?}", replay);
            prop_assert!(replay.bound_usd <= replay.split.usd + 1e-9, "{:?}", replay);
            if most == Some(1) {
                prop_assert_eq!(replay.as_is, replay.split);
            }
        }
    }
}
