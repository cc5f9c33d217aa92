//! Whether what is called a change is one: runs are made up of chance, as a machine makes them, and compared.

use super::*;
use crate::{
    machine::{Machine, Revision},
    metric::{Recorder, Unit},
    report::Bench,
    statistics::LEVEL,
};

const METRICS: [&str; 6] = ["throughput-out", "throughput-in", "tcp-p50", "tcp-p99", "udp-p50", "udp-p99"];
const SIDES: [&str; 3] = ["single", "nested", "brfusion"];
const PAIRS: [(&str, &str); 3] = [("brfusion", "single"), ("nested", "single"), ("brfusion", "nested")];

/// SplitMix64: the same numbers each time.
struct Chance(u64);

impl Chance {
    fn number(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let upper = ((mixed ^ (mixed >> 31)) >> 11) as f64;
        upper / 2f64.powi(53)
    }

    /// Around 1, farther above it than below, and now and then far above.
    fn factor(&mut self, spread: f64) -> f64 {
        let stray = if self.number() < 0.03 { 2.0 } else { 1.0 };
        stray * (spread * (self.number() + self.number() + self.number() - 1.5)).exp()
    }
}

/// A run of the three ways into a VM. What the machine does meets all sides of a round alike, a side of a round has chance
/// of its own that its samples share, and so has each sample.
fn run(chance: &mut Chance, rounds: usize, each: usize, change: impl Fn(&str, &str) -> f64) -> Report {
    let mut recorder = Recorder::default();
    let machine = chance.factor(0.4);
    for _ in 0..rounds {
        let load = machine * chance.factor(0.3);
        for metric in METRICS {
            let round = SIDES.map(|side| load * chance.factor(0.2) * change(metric, side));
            for _ in 0..each {
                for (side, of_round) in SIDES.into_iter().zip(round) {
                    recorder.keep(metric, Unit::Microseconds, side, 100.0 * of_round * chance.factor(0.1));
                }
            }
        }
    }
    report(&recorder, rounds)
}

fn report(recorder: &Recorder, rounds: usize) -> Report {
    Report {
        bench: Bench::Nic,
        version: "0".into(),
        revision: Revision::default(),
        machine: Machine {
            cpu: "x".into(),
            cores: 2,
            kernel: "6".into(),
            vmm: "qemu".into(),
            qemu: "10".into(),
            accelerator: "tcg".into(),
            load_before: 0.0,
        },
        began_unix_s: 0,
        took_s: 1.0,
        rounds,
        parameters: [("transfer-s".to_owned(), "2".to_owned())].into(),
        metrics: recorder.metrics(&PAIRS, rounds),
        counts: Default::default(),
    }
}

fn compared(before: &Report, after: &Report) -> Comparison {
    compare(before, after, Likeness::Required).unwrap()
}

fn alike(_: &str, _: &str) -> f64 {
    1.0
}

/// How many of so many pairs of runs of the same programs have a row that is called a change.
fn false_alarms(pairs: u64, rounds: usize, each: usize) -> usize {
    let mut chance = Chance(pairs << 32 | rounds as u64);
    (0..pairs)
        .filter(|_| {
            let runs = [(); 2].map(|()| run(&mut chance, rounds, each, alike));
            let comparison = compared(&runs[0], &runs[1]);
            assert_eq!(comparison.changes.len(), METRICS.len() * SIDES.len());
            comparison.changes.iter().any(|change| change.significant)
        })
        .count()
}

#[test]
fn runs_of_the_same_programs_differ_in_one_of_twenty_at_most() {
    for (pairs, rounds, each) in [(200, 8, 10), (200, 15, 1)] {
        let alarms = false_alarms(pairs, rounds, each);
        #[expect(clippy::cast_precision_loss, reason = "hundreds")]
        let share = alarms as f64 / pairs as f64;
        assert!(
            share <= LEVEL,
            "{alarms} of {pairs} pairs of {rounds} rounds have a row that is called a change"
        );
    }
}

#[test]
fn two_rounds_tell_nothing_however_often_they_are_sampled() {
    let mut chance = Chance(1);
    for each in [1, 10, 50] {
        let runs = [1.0, 3.0]
            .map(|times| run(&mut chance, 2, each, |_, side| if side == "brfusion" { times } else { 1.0 }));
        let comparison = compared(&runs[0], &runs[1]);
        let claimed: Vec<_> =
            comparison.changes.iter().filter(|change| change.verdict != Verdict::Yardstick).collect();
        assert_eq!(claimed.len(), 12);
        assert!(claimed.iter().all(|change| change.verdict == Verdict::TooFewSamples && !change.significant));
        assert_eq!(comparison.rounds_needed, 7);
    }
}

#[test]
fn what_has_changed_is_found_in_the_rows_that_have_it_and_in_no_others() {
    let mut chance = Chance(4);
    let changed =
        |metric: &str, side: &str| if (metric, side) == ("tcp-p50", "brfusion") { 2.0 } else { 1.0 };
    let runs = [run(&mut chance, 15, 4, alike), run(&mut chance, 15, 4, changed)];
    let comparison = compared(&runs[0], &runs[1]);
    let found: Vec<_> = comparison.changes.iter().filter(|change| change.significant).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let Change { metric, side, by, judged_before, judged_after, p_value, .. } = found[0];
    assert_eq!((metric.as_str(), side.as_str(), by.as_deref()), ("tcp-p50", "brfusion", Some("single")));
    assert!((1.7..2.3).contains(&(judged_after / judged_before)) && p_value.unwrap() < LEVEL);
}

/// A slower machine is no slower program.
#[test]
fn what_all_sides_share_is_told_of_the_machine() {
    let mut chance = Chance(3);
    let runs = [run(&mut chance, 15, 1, alike), run(&mut chance, 15, 1, |_, _| 3.0)];
    let comparison = compared(&runs[0], &runs[1]);
    assert!(comparison.changes.iter().all(|change| !change.significant));
    assert!(
        comparison.cautions.iter().any(|caution| caution.contains("what others are measured by differs"))
    );
}

/// One metric with one side: there is nothing to measure it by.
fn alone(samples: &[f64]) -> Report {
    let mut recorder = Recorder::default();
    samples.iter().for_each(|&sample| recorder.keep("plug", Unit::Milliseconds, "visible", sample));
    report(&recorder, samples.len())
}

#[test]
fn a_row_alone_is_judged_as_it_is() {
    let before: Vec<f64> = (0..40).map(|i| 10.0 + f64::from(i % 10) / 10.0).collect();
    let slower: Vec<f64> = before.iter().map(|x| x * 1.5).collect();
    let noisy: Vec<f64> = before.iter().rev().map(|x| x + 0.05).collect();
    let change = |after: &[f64]| compared(&alone(&before), &alone(after)).changes.remove(0);
    assert!(change(&slower).significant && (change(&slower).ratio - 1.5).abs() < 1e-9);
    assert_eq!(change(&noisy).verdict, Verdict::Noise);
    assert_eq!(change(&before).verdict, Verdict::Noise);
    assert_eq!(compared(&alone(&before[..5]), &alone(&slower)).changes[0].verdict, Verdict::TooFewSamples);
}

#[test]
fn a_row_alone_says_nothing_where_the_machine_was_another() {
    let report = |times: f64, samples: u8| {
        let mut recorder = Recorder::default();
        for sample in 0..samples {
            let sample = 10.0 + f64::from(sample) / 10.0;
            for side in SIDES {
                recorder.keep("add", Unit::Milliseconds, side, times * sample);
            }
            recorder.keep("plug", Unit::Milliseconds, "visible", times * sample);
        }
        report(&recorder, usize::from(samples))
    };
    let comparison = compared(&report(1.0, 20), &report(1.5, 20));
    let verdict = |side: &str| comparison.changes.iter().find(|change| change.side == side).unwrap().verdict;
    assert_eq!((verdict("visible"), verdict("brfusion")), (Verdict::MachineDiffers, Verdict::Noise));
}

#[test]
fn a_base_of_nothing_tells_nothing() {
    let mut recorder = Recorder::default();
    for _ in 0..10 {
        recorder.keep("add", Unit::Milliseconds, "single", 0.0);
        recorder.keep("add", Unit::Milliseconds, "brfusion", 1.0);
    }
    let report = report(&recorder, 10);
    let comparison = compared(&report, &report);
    assert_eq!(comparison.changes[1].verdict, Verdict::TooFewSamples);
}

#[test]
fn what_is_no_run_of_the_same_is_refused_with_what_differs() {
    let before = alone(&[1.0; 8]);
    let refused = |change: fn(&mut Report)| {
        let mut after = before.clone();
        change(&mut after);
        compare(&before, &after, Likeness::Required).unwrap_err().to_string()
    };
    for (change, expected) in [
        (
            (|report| report.bench = Bench::Attach) as fn(&mut Report),
            "a run of `nestless bench nic`, the second one of `nestless bench attach`",
        ),
        (|report| report.metrics[0].unit = Unit::PerSecond, "plug is in ms in the first file, and in 1/s"),
        (|report| report.metrics.clear(), "the second file has no samples"),
        (|report| report.metrics[0].name = "other".into(), "no metric and side is in both"),
        (|report| report.machine.cores = 4, "cores: \"2\" before, \"4\" after"),
        (|report| report.machine.vmm = "namespace".into(), "VMs: \"qemu\" before, \"namespace\" after"),
        (|report| report.machine.accelerator = "kvm".into(), "accelerator: \"tcg\" before, \"kvm\" after"),
        (|report| report.parameters.clear(), "transfer-s: \"2\" before, \"\" after"),
    ] {
        let told = refused(change);
        assert!(told.contains(expected), "no {expected:?} in: {told}");
    }
}

#[test]
fn who_knows_what_differs_is_told_and_served() {
    let (before, mut after) = (alone(&[1.0; 8]), alone(&[1.0; 8]));
    after.machine.kernel = "7".into();
    after.parameters.insert("ways".into(), "hostlo".into());
    let comparison = compare(&before, &after, Likeness::Waived).unwrap();
    assert_eq!(
        comparison.cautions,
        ["kernel: \"6\" before, \"7\" after", "ways: \"\" before, \"hostlo\" after"]
    );
}

#[test]
fn rows_of_one_run_only_are_told() {
    let (mut before, after) = (alone(&[1.0; 8]), alone(&[1.0; 8]));
    let mut further = before.metrics[0].clone();
    further.name = "burst".into();
    before.metrics.push(further);
    assert_eq!(compared(&before, &after).cautions, ["only the first run has burst of visible"]);
}
