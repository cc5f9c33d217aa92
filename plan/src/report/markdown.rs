//! The report as Markdown.

use super::money::{counted, dollars, percent};
use super::terminal::{by_saving, left_out};
use super::{Costs, Report, present};
use nestless_page::{Table, left, markdown::escaped, right};
use std::fmt::Write as _;

const LISTED: usize = 25;

/// The report as Markdown tables and lists.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    let out = &mut text;
    let (input, totals, savings) = (&report.input, &report.totals, &report.savings);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "# Placement plan\n\n{}, {}, {} ({}). Catalogue {}",
        counted(input.clients, "client"),
        counted(input.pods, "pod"),
        counted(input.containers, "container"),
        input.format,
        escaped(&report.catalogue.name)
    );
    if !report.catalogue.as_of.is_empty() {
        let _ = write!(out, ", {}, prices of {}", report.catalogue.region, report.catalogue.as_of);
    }
    let mut numbers = Table::new([left(""), right("an hour"), right("over the bound")]);
    for (name, cost) in four(totals) {
        let over = format!("{:.2} %", percent(cost - totals.bound, totals.bound));
        numbers.add_row([name.to_owned(), dollars(cost), over]);
    }
    let _ = write!(out, ".\n\n{}", numbers.markdown());
    let _ = write!(
        out,
        "\n- Better packing saves {} ({:.2} %).\n- Splitting saves {} more ({:.2} %), for {}; proven for {}; at \
         most {:.1} % for one.\n- Proven best: {} whole-pod plans, {} split plans, of {} clients.\n",
        dollars(savings.packing),
        savings.packing_percent,
        dollars(savings.splitting),
        savings.splitting_percent,
        counted(savings.clients_cheaper_by_splitting, "client"),
        savings.clients_proven_cheaper_by_splitting,
        savings.most_by_splitting_percent,
        savings.clients_whole_proven_best,
        savings.clients_split_proven_best,
        report.clients.len(),
    );
    for sentence in present::sentences(report) {
        let _ = writeln!(out, "- {}", escaped(&sentence));
    }
    if let Some(paper) = &report.paper {
        let mut beside = Table::new([
            left("scheduler, then Hostlo as a pass over it"),
            right("clients that pay less"),
            right("most that one saves"),
        ]);
        let share = format!("over {:.0} %", paper.clients_cheaper_percent);
        beside.add_row(["the paper".to_owned(), share, format!("{:.0} %", paper.most_percent)]);
        let ours = [paper.ours_clients_cheaper_percent, paper.ours_most_percent];
        let [share, most] = ours.map(|percent| format!("{percent:.1} %"));
        beside.add_row(["here".to_owned(), share, most]);
        let _ = write!(out, "\n{}", beside.markdown());
    }
    let figures = ["pods", "as it is", "whole", "split", "bound", "split pods"].map(right);
    let mut clients = Table::new([left("client")].into_iter().chain(figures));
    for client in by_saving(&report.clients).into_iter().take(LISTED) {
        let [(_, as_is), (_, whole), (_, split), (_, bound)] = four(&client.costs);
        clients.add_row([
            client.name.clone(),
            client.pods.to_string(),
            dollars(as_is),
            dollars(whole),
            dollars(split),
            dollars(bound),
            client.split_pods.to_string(),
        ]);
    }
    let _ = write!(out, "\n{}", clients.markdown());
    list(out, "Left out", &left_out(report));
    list(out, "Assumptions", &report.assumptions);
    list(out, "Caveats", &report.caveats);
    text
}

/// The four numbers with their names, in order.
pub(super) fn four(costs: &Costs) -> [(&'static str, f64); 4] {
    [
        ("scheduler as it is", costs.as_is),
        ("best whole-pod plan", costs.whole),
        ("best split plan", costs.split),
        ("proven lower bound", costs.bound),
    ]
}

fn list(out: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = write!(out, "\n## {title}\n\n");
        lines.iter().for_each(|line| {
            let _ = writeln!(out, "- {}", escaped(line.trim()));
        });
    }
}
