//! Sentences about what there is: the cluster of today, and physical hosts.

use super::Report;
use super::money::{counted, dollars, thousands};
use crate::limits::HostsNeeded;
use crate::today::Today;

/// A sentence a line; none where the input tells nothing.
pub(super) fn sentences(report: &Report) -> Vec<String> {
    report.today.iter().flat_map(today).chain(report.hosts.iter().map(hosts)).collect()
}

fn today(today: &Today) -> [String; 2] {
    let unpriced = match today.unpriced {
        0 => String::new(),
        count => format!(" without {} whose price no built-in list has", counted(count, "node")),
    };
    let waiting = match today.waiting {
        0 => String::new(),
        count => format!("; {} on no node", counted(count, "pod")),
    };
    let now = format!(
        "today: {} on {} of {}; {} an hour{unpriced}; {:.1} % of CPU and {:.1} % of memory requested{waiting}",
        counted(today.pods, "pod"),
        thousands(today.nodes_used as u64),
        counted(today.nodes, "node"),
        dollars(today.usd_per_hour),
        today.cpu_percent,
        today.memory_percent,
    );
    let after = match &today.hostlo {
        Some(after) => {
            let cost =
                after.usd_per_hour.map(|usd| format!(", {} an hour", dollars(usd))).unwrap_or_default();
            format!(
                "Hostlo as a pass over today's placement: {}{cost}, {} split",
                counted(after.nodes, "node"),
                counted(after.split_pods, "pod")
            )
        }
        None => format!("no pass over today's placement: {}", today.note),
    };
    [now, after]
}

fn hosts(hosts: &HostsNeeded) -> String {
    let there = hosts.count.map(|count| format!("; there are {count}")).unwrap_or_default();
    format!(
        "physical hosts needed (of {} vCPU and {} GiB): {} as it is, {} for whole pods, {} for split pods{there}",
        hosts.cpu_milli as f64 / 1e3,
        hosts.memory_bytes >> 30,
        hosts.as_is,
        hosts.whole,
        hosts.split,
    )
}
