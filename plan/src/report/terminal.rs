//! The report as text for a terminal: the four numbers first, then what they mean, then the clients that save most.

use super::money::{counted, dollars, percent, thousands};
use super::{ClientCosts, Report, present};
use nestless_page::{Table, left, right};
use std::fmt::Write as _;

/// Clients that are listed; all of them are in the JSON.
const LISTED: usize = 10;

/// The report as plain text, lines of at most about 100 characters.
pub fn terminal(report: &Report) -> String {
    let mut text = String::new();
    let out = &mut text;
    let input = &report.input;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{}: {}, {}, {}; catalogue {} ({} sizes{})\n",
        input.format,
        counted(input.clients, "client"),
        counted(input.pods, "pod"),
        counted(input.containers, "container"),
        report.catalogue.name,
        report.catalogue.sizes.len(),
        if report.catalogue.as_of.is_empty() {
            String::new()
        } else {
            format!(", {}", report.catalogue.as_of)
        },
    );
    four_numbers(out, report);
    meaning(out, report);
    for sentence in present::sentences(report) {
        let _ = writeln!(out, "{sentence}");
    }
    clients(out, &report.clients);
    if let Some(simulation) = &report.simulation {
        let _ = writeln!(
            out,
            "\nReplayed over {} s ({} arrivals, {} departures), VMs paid by the {}:\n  as it is {}, with split pods {} \
             ({:.1} % less), bound {}",
            thousands(simulation.seconds),
            thousands(simulation.arrivals),
            thousands(simulation.departures),
            simulation.billing,
            dollars(simulation.as_is_usd),
            dollars(simulation.split_usd),
            simulation.splitting_percent,
            dollars(simulation.bound_usd),
        );
    }
    notes(out, report);
    // Names come from the input: none may steer the terminal.
    text.retain(|letter| letter == '\n' || !letter.is_control());
    text
}

fn four_numbers(out: &mut String, report: &Report) {
    let totals = &report.totals;
    let vms = |index: usize| thousands(report.clients.iter().map(|client| client.vms[index] as u64).sum());
    let rows = [
        ("scheduler as it is", totals.as_is, vms(0)),
        ("best whole-pod plan", totals.whole, vms(1)),
        ("best split plan", totals.split, vms(2)),
        ("proven lower bound", totals.bound, String::new()),
    ];
    let mut table = Table::new([
        left("").at_least(22),
        right("an hour").at_least(12),
        right("VMs").at_least(8),
        right("over bound").at_least(12),
    ]);
    for (name, cost, vms) in rows {
        let over = format!("{:.2} %", percent(cost - totals.bound, totals.bound));
        let over = if name.starts_with("proven") { String::new() } else { over };
        table.add_row([name.to_owned(), dollars(cost), vms, over]);
    }
    out.push_str(&table.terminal());
}

fn meaning(out: &mut String, report: &Report) {
    let savings = &report.savings;
    let clients = report.clients.len();
    let share = |count: usize| percent(count as f64, clients as f64);
    let _ = writeln!(
        out,
        "\nbetter packing saves {} ({:.2} %); splitting saves {} more ({:.2} %)",
        dollars(savings.packing),
        savings.packing_percent,
        dollars(savings.splitting),
        savings.splitting_percent,
    );
    let _ = writeln!(
        out,
        "splitting is cheaper for {} of {clients} clients ({:.1} %), proven for {}; one saves {:.1} % at most",
        savings.clients_cheaper_by_splitting,
        share(savings.clients_cheaper_by_splitting),
        savings.clients_proven_cheaper_by_splitting,
        savings.most_by_splitting_percent,
    );
    let _ = writeln!(
        out,
        "proven to be the best there is: {} whole-pod plans, {} split plans",
        savings.clients_whole_proven_best, savings.clients_split_proven_best,
    );
    let _ = writeln!(
        out,
        "Hostlo as a pass over the scheduler's placement: {} ({:.2} % less), cheaper for {} ({:.1} %), up to {:.1} %",
        dollars(report.totals.as_is_hostlo),
        savings.post_pass_percent,
        counted(savings.clients_cheaper_by_post_pass, "client"),
        share(savings.clients_cheaper_by_post_pass),
        savings.most_by_post_pass_percent,
    );
    if let Some(paper) = &report.paper {
        let _ = writeln!(out, "the paper, same setting: {}", paper.claim);
    }
}

/// Those that save most by splitting, dearest first among equals.
pub(super) fn by_saving(clients: &[ClientCosts]) -> Vec<&ClientCosts> {
    let mut order: Vec<&ClientCosts> = clients.iter().collect();
    let saved = |client: &ClientCosts| client.costs.whole - client.costs.split;
    order.sort_by(|a, b| saved(b).total_cmp(&saved(a)).then(b.costs.whole.total_cmp(&a.costs.whole)));
    order
}

fn clients(out: &mut String, clients: &[ClientCosts]) {
    let mut table = Table::new([
        left("client").at_least(16),
        right("pods").at_least(5),
        right("as it is").at_least(10),
        right("whole").at_least(10),
        right("split").at_least(10),
        right("bound").at_least(10),
        right("saved").at_least(7),
        right("split").at_least(6),
    ]);
    for client in by_saving(clients).into_iter().take(LISTED) {
        let costs = &client.costs;
        let saved = format!("{:.1} %", percent(costs.whole - costs.split, costs.whole));
        table.add_row([
            client.name.chars().take(15).collect(),
            client.pods.to_string(),
            dollars(costs.as_is),
            dollars(costs.whole),
            dollars(costs.split),
            dollars(costs.bound),
            saved,
            client.split_pods.to_string(),
        ]);
    }
    out.push('\n');
    out.push_str(&table.terminal());
    if clients.len() > LISTED {
        let _ = writeln!(out, "... and {} more: --json has all of them", clients.len() - LISTED);
    }
}

fn notes(out: &mut String, report: &Report) {
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{title}");
            lines.iter().for_each(|line| {
                // Those that belong to the line before them are indented.
                let _ = writeln!(out, "  {}- {}", if line.starts_with(' ') { "  " } else { "" }, line.trim());
            });
        }
    };
    section("Left out:", left_out(report));
    section("Assumptions:", report.assumptions.clone());
    section("Caveats:", report.caveats.clone());
}

/// Everything that is not in the plan, and why.
pub(super) fn left_out(report: &Report) -> Vec<String> {
    let input = &report.input;
    let skipped = input.skipped.iter().map(|c| format!("{} {}", thousands(c.count), c.what));
    let ignored = input.ignored.iter().map(|c| format!("{} requests of {}", thousands(c.count), c.what));
    let faults =
        (input.faults > 0).then(|| format!("{} in the input:", counted(input.faults as usize, "fault")));
    let listed = input.listed.iter().map(|fault| format!("  {fault}"));
    let unplaced = report.unplaced.iter().cloned();
    skipped.chain(ignored).chain(faults).chain(listed).chain(unplaced).collect()
}
