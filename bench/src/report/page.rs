//! A report for a browser: each metric's figures, its ratios with the bounds within which they are certain, and every
//! sample.

use super::{
    Report,
    terminal::{bounds, circumstances, number, quantity},
};
use crate::metric::{Metric, Ratio};
use nestless_page::{Document, Interval, Part, Samples, Section, Table};

/// The report as one page, with nothing from outside.
///
/// # Errors
/// When a figure is no number that JSON can hold.
pub fn html(report: &Report) -> Result<String, serde_json::Error> {
    let mut sections: Vec<_> = report.metrics.iter().map(section).collect();
    sections.push(Section { title: "How it was measured".into(), parts: vec![Part::List(facts(report))] });
    Document { title: format!("nestless bench {}", report.bench), lead: circumstances(report), sections }
        .html()
}

fn section(metric: &Metric) -> Section {
    let mut table = Table::new(["side", "p50", "p99", "min", "max", "samples"]);
    for series in &metric.sides {
        let s = &series.summary;
        let figures = [s.p50, s.p99, s.min, s.max].map(number);
        table.add_row([series.side.clone()].into_iter().chain(figures).chain([s.count.to_string()]));
    }
    let mut parts = vec![Part::Table(table)];
    let (certain, others): (Vec<_>, Vec<_>) =
        metric.ratios.iter().partition(|ratio| ratio.interval_95.is_some());
    let told = |ratio: &Ratio| format!("{:.3} {}", ratio.by_round.p50, bounds(ratio));
    if !certain.is_empty() {
        let rows = certain.iter().filter_map(|ratio| {
            let [low, high] = ratio.interval_95?;
            let name = format!("{} of {}", ratio.side, ratio.to);
            Some(Interval { name, low, middle: ratio.by_round.p50, high, text: told(ratio) })
        });
        let label = format!(
            "{}: median of the rounds' ratios, and the interval that holds it with 95 %",
            metric.name
        );
        parts.push(Part::Intervals { label, line: 1.0, rows: rows.collect() });
    }
    if !others.is_empty() {
        let lines = others.iter().map(|ratio| format!("{} of {}: {}", ratio.side, ratio.to, told(ratio)));
        parts.push(Part::List(lines.collect()));
    }
    let rows = metric.sides.iter().map(|series| Samples {
        name: series.side.clone(),
        samples: series.samples.clone(),
        middle: series.summary.p50,
        text: quantity(series.summary.p50, metric.unit),
    });
    let label = format!("{}: every sample, and the median", metric.name);
    parts.push(Part::Samples { label, rows: rows.collect() });
    Section { title: format!("{}, {}", metric.name, metric.unit), parts }
}

fn facts(report: &Report) -> Vec<String> {
    let changed = if report.revision.changed { ", with changes that are not committed" } else { "" };
    let commit = report.revision.commit.as_str();
    let sources = if commit.is_empty() { String::new() } else { format!(", sources {commit}{changed}") };
    let version = format!("nestless {}{sources}", report.version);
    let chosen = report.parameters.iter().map(|(name, value)| format!("{name}: {value}"));
    let counts = report.counts.iter().map(|(name, count)| format!("{name}: {count}"));
    let reading = [
        "Sides take turns within every round. A ratio is the median of the rounds' ratios, with the interval that holds \
         the true one with 95 %, for which six rounds are the least; it is blue where that interval does not reach 1.",
        "A chart of samples has a dot for each, from the top down in the order in which they were taken, and a bar at \
         the median.",
    ];
    std::iter::once(version).chain(chosen).chain(counts).chain(reading.map(str::to_owned)).collect()
}
