//! What makes figures of two runs figures of the same.

use super::error::CompareError;
use crate::{metric::Metric, report::Report};

/// Parameters that say which rows there are, and how often a round is sampled, and not what is measured.
const HARMLESS: [&str; 2] = ["ways", "series-per-round"];

/// Refuses what cannot be compared whatever the caller wishes.
pub(super) fn check(before: &Report, after: &Report) -> Result<(), CompareError> {
    if before.bench != after.bench {
        return Err(CompareError::Benches { before: before.bench, after: after.bench });
    }
    for (old, new) in metrics(before, after) {
        if old.unit != new.unit {
            let metric = old.name.clone();
            return Err(CompareError::Units { metric, before: old.unit, after: new.unit });
        }
    }
    for (which, report) in [("first", before), ("second", after)] {
        if report.metrics.iter().flat_map(|metric| &metric.sides).all(|series| series.samples.is_empty()) {
            return Err(CompareError::NoSamples { which });
        }
    }
    if metrics(before, after).all(|(old, new)| old.sides.iter().all(|side| new.side(&side.side).is_none())) {
        return Err(CompareError::NothingInCommon);
    }
    Ok(())
}

/// The metrics that both have, in the first run's order.
pub(super) fn metrics<'a>(
    before: &'a Report,
    after: &'a Report,
) -> impl Iterator<Item = (&'a Metric, &'a Metric)> {
    before.metrics.iter().filter_map(|old| Some((old, after.metric(&old.name)?)))
}

/// Whatever would be seen in the figures though the programs are the same.
pub(super) fn differences(before: &Report, after: &Report) -> Vec<String> {
    let (a, b) = (&before.machine, &after.machine);
    let machine = [
        ("processor", a.cpu.clone(), b.cpu.clone()),
        ("cores", a.cores.to_string(), b.cores.to_string()),
        ("kernel", a.kernel.clone(), b.kernel.clone()),
        ("VMs", a.vmm.clone(), b.vmm.clone()),
        ("QEMU", a.qemu.clone(), b.qemu.clone()),
        ("accelerator", a.accelerator.clone(), b.accelerator.clone()),
    ];
    let told = |(name, a, b): (&str, String, String)| told(name, &a, &b);
    machine.into_iter().filter_map(told).chain(parameters(before, after, false)).collect()
}

/// What is worth knowing beside the figures.
pub(super) fn remarks(before: &Report, after: &Report) -> Vec<String> {
    let mut found: Vec<_> = parameters(before, after, true).collect();
    if before.revision.changed || after.revision.changed {
        found.push("one of the trees had changes that were not committed".into());
    }
    for (which, report, other) in [("first", before, after), ("second", after, before)] {
        let rows = report.metrics.iter().flat_map(|metric| {
            metric.sides.iter().filter_map(|side| {
                let known = other.metric(&metric.name).is_some_and(|m| m.side(&side.side).is_some());
                (!known).then(|| format!("{} of {}", metric.name, side.side))
            })
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            found.push(format!("only the {which} run has {}", rows.join(", ")));
        }
    }
    found
}

fn parameters<'a>(
    before: &'a Report,
    after: &'a Report,
    harmless: bool,
) -> impl Iterator<Item = String> + 'a {
    let names = before
        .parameters
        .keys()
        .chain(after.parameters.keys().filter(|name| !before.parameters.contains_key(*name)));
    let value = |report: &'a Report, name: &str| report.parameters.get(name).map_or("", String::as_str);
    names
        .filter(move |name| HARMLESS.contains(&name.as_str()) == harmless)
        .filter_map(move |name| told(name, value(before, name), value(after, name)))
}

fn told(name: &str, before: &str, after: &str) -> Option<String> {
    (before != after).then(|| format!("{name}: {before:?} before, {after:?} after"))
}
