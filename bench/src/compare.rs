//! Two runs of one bench, side by side.

use crate::{
    metric::{Metric, Unit},
    report::Report,
    statistics::medians_differ,
};
use schemars::JsonSchema;
use serde::Serialize;

/// Every side that both runs measured.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// In the first run's order.
    pub changes: Vec<Change>,
    /// What makes figures hard to compare: other machines, other parameters.
    pub cautions: Vec<String>,
}

/// One side of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Change {
    /// The metric.
    pub metric: String,
    /// The side.
    pub side: String,
    /// Of both medians.
    pub unit: Unit,
    /// Median of the first run.
    pub before: f64,
    /// Median of the second.
    pub after: f64,
    /// The second by the first.
    pub ratio: f64,
    /// The intervals that hold the true medians with 95 % do not meet.
    pub significant: bool,
}

/// Compares `after` with `before`.
pub fn compare(before: &Report, after: &Report) -> Comparison {
    let changes = before.metrics.iter().filter_map(|old| Some((old, after.metric(&old.name)?)));
    Comparison {
        changes: changes.flat_map(|(old, new)| sides(old, new)).collect(),
        cautions: cautions(before, after),
    }
}

fn sides(old: &Metric, new: &Metric) -> Vec<Change> {
    let change = |side: &crate::metric::Series| {
        let other = new.side(&side.side).filter(|_| new.unit == old.unit)?;
        Some(Change {
            metric: old.name.clone(),
            side: side.side.clone(),
            unit: old.unit,
            before: side.summary.p50,
            after: other.summary.p50,
            ratio: other.summary.p50 / side.summary.p50,
            significant: medians_differ(&side.samples, &other.samples)?,
        })
    };
    old.sides.iter().filter_map(change).collect()
}

fn cautions(before: &Report, after: &Report) -> Vec<String> {
    let (a, b) = (&before.machine, &after.machine);
    let mut found = Vec::new();
    let mut note = |what: &str, a: &str, b: &str| {
        if a != b {
            found.push(format!("{what}: {a:?} before, {b:?} after"));
        }
    };
    note("bench", &format!("{:?}", before.bench), &format!("{:?}", after.bench));
    note("processor", &a.cpu, &b.cpu);
    note("cores", &a.cores.to_string(), &b.cores.to_string());
    note("kernel", &a.kernel, &b.kernel);
    note("VMs", &a.vmm, &b.vmm);
    note("QEMU", &a.qemu, &b.qemu);
    note("accelerator", &a.accelerator, &b.accelerator);
    for (name, value) in &before.parameters {
        note(name, value, after.parameters.get(name).map_or("", String::as_str));
    }
    if before.revision.changed || after.revision.changed {
        found.push("one of the trees had changes that were not committed".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        machine::{Machine, Revision},
        metric::Recorder,
        report::Bench,
    };

    fn report(samples: &[f64], cores: usize) -> Report {
        let mut recorder = Recorder::default();
        for &sample in samples {
            recorder.keep("add", Unit::Milliseconds, "warm", sample);
        }
        Report {
            bench: Bench::Attach,
            version: "0".into(),
            revision: Revision::default(),
            machine: Machine {
                cpu: "x".into(),
                cores,
                kernel: "6".into(),
                vmm: "qemu".into(),
                qemu: "10".into(),
                accelerator: "tcg".into(),
                load_before: 0.0,
            },
            began_unix_s: 0,
            took_s: 1.0,
            rounds: samples.len(),
            parameters: [("pool".to_owned(), "8".to_owned())].into(),
            metrics: recorder.metrics(&[]),
            counts: Default::default(),
        }
    }

    #[test]
    fn tells_noise_from_change() {
        let before: Vec<f64> = (0..40).map(|i| 10.0 + f64::from(i % 10) / 10.0).collect();
        let slower: Vec<f64> = before.iter().map(|x| x * 1.5).collect();
        let noisy: Vec<f64> = before.iter().rev().map(|x| x + 0.05).collect();
        let change = |after: &[f64]| compare(&report(&before, 2), &report(after, 2)).changes.remove(0);
        assert!(change(&slower).significant && (change(&slower).ratio - 1.5).abs() < 1e-9);
        assert!(!change(&noisy).significant);
        assert!(!change(&before).significant);
    }

    #[test]
    fn warns_of_another_machine_and_skips_what_only_one_has() {
        let mut other = report(&[1.0], 4);
        other.metrics.clear();
        other.parameters.clear();
        let comparison = compare(&report(&[1.0], 2), &other);
        assert!(comparison.changes.is_empty());
        assert_eq!(
            comparison.cautions,
            ["cores: \"2\" before, \"4\" after", "pool: \"8\" before, \"\" after"]
        );
    }
}
