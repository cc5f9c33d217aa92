//! The report as Markdown.

use super::money::{counted, dollars, percent};
use super::terminal::{by_saving, left_out};
use super::{Costs, Report, present};
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
        cell(&report.catalogue.name)
    );
    if !report.catalogue.as_of.is_empty() {
        let _ = write!(out, ", {}, prices of {}", report.catalogue.region, report.catalogue.as_of);
    }
    let _ = write!(out, ".\n\n| | an hour | over the bound |\n|---|---:|---:|\n");
    for (name, cost) in four(totals) {
        let _ = writeln!(
            out,
            "| {name} | {} | {:.2} % |",
            dollars(cost),
            percent(cost - totals.bound, totals.bound)
        );
    }
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
        let _ = writeln!(out, "- {}", cell(&sentence));
    }
    if let Some(paper) = &report.paper {
        let _ = write!(
            out,
            "\n| scheduler, then Hostlo as a pass over it | clients that pay less | most that one saves |\n|---|---:|---:|\n\
             | the paper | over {:.0} % | {:.0} % |\n| here | {:.1} % | {:.1} % |\n",
            paper.clients_cheaper_percent,
            paper.most_percent,
            paper.ours_clients_cheaper_percent,
            paper.ours_most_percent,
        );
    }
    let _ = write!(
        out,
        "\n| client | pods | as it is | whole | split | bound | split pods |\n|---|---:|---:|---:|---:|---:|---:|\n"
    );
    for client in by_saving(&report.clients).into_iter().take(LISTED) {
        let [(_, as_is), (_, whole), (_, split), (_, bound)] = four(&client.costs);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            cell(&client.name),
            client.pods,
            dollars(as_is),
            dollars(whole),
            dollars(split),
            dollars(bound),
            client.split_pods
        );
    }
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
            let _ = writeln!(out, "- {}", cell(line.trim()));
        });
    }
}

/// Names come from the input: nothing in them may end a cell or begin a tag.
fn cell(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, letter| {
        match letter {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' => escaped.extend(['\\', letter]),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
        escaped
    })
}
