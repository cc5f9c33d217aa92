//! A report on a terminal: a line for each side of each metric.

use super::Report;
use crate::metric::{Ratio, Unit};
use nestless_page::Table;

/// Three significant digits: no bench here is more exact.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// With its unit.
pub fn quantity(value: f64, unit: Unit) -> String {
    format!("{} {unit}", number(value))
}

/// Within which bounds a ratio by round is certain.
pub(super) fn bounds(ratio: &Ratio) -> String {
    match ratio.interval_95 {
        Some([low, high]) => format!("({low:.2} to {high:.2})"),
        None => "(too few rounds)".to_owned(),
    }
}

/// The report as text.
pub fn terminal(report: &Report) -> String {
    let mut table = Table::new(["METRIC", "SIDE", "P50", "P99", "MIN", "MAX", "UNIT", "RATIO"]);
    for metric in &report.metrics {
        for series in &metric.sides {
            let s = &series.summary;
            let ratios = metric.ratios.iter().filter(|ratio| ratio.side == series.side);
            let ratios: Vec<_> = ratios.map(ratio).collect();
            let mut row = vec![metric.name.clone(), series.side.clone()];
            row.extend([s.p50, s.p99, s.min, s.max].map(number));
            row.extend([metric.unit.to_string(), ratios.join("\n")]);
            table.add_row(row);
        }
    }
    let counts = report.counts.iter().map(|(name, count)| format!("{name}: {count}\n"));
    format!("{}\n{}{}\n", table.terminal(), counts.collect::<String>(), circumstances(report))
}

fn ratio(ratio: &Ratio) -> String {
    format!("{:.3} of {} {}", ratio.by_round.p50, ratio.to, bounds(ratio))
}

/// How much was measured, and where.
pub(super) fn circumstances(report: &Report) -> String {
    let machine = &report.machine;
    let hypervisor = if machine.qemu.is_empty() {
        "namespace VMs: for trying out, not for figures".to_owned()
    } else {
        format!("QEMU {} with {}", machine.qemu, machine.accelerator.to_uppercase())
    };
    format!(
        "{} rounds in {:.0} s on {}, {} cores, Linux {}, {hypervisor}; load before: {:.1}",
        report.rounds, report.took_s, machine.cpu, machine.cores, machine.kernel, machine.load_before,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        assert_eq!([0.9876, 12.345, 1234.5].map(number), ["0.99", "12.3", "1234"]);
        assert_eq!(quantity(3.0, Unit::Milliseconds), "3.00 ms");
    }
}
