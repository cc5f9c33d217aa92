//! What is there: on this machine, and in a process.

use nestless_model::identity::NicId;
use std::{collections::BTreeMap, fs};

/// Links in this process's own namespace that are called as NICs' host ends.
pub fn links_of_ours() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").expect("every Linux has it").flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| NicId::from_link_name(name).is_some()).collect()
}

/// A process's open descriptors, counted by kind: what they lead to, without the numbers that differ each time.
pub fn descriptors(pid: u32) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.display().to_string();
        let kind = target.split_once('[').map_or(target.as_str(), |(kind, _)| kind).to_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// A process's peak resident memory in KiB.
pub fn peak_rss_kib(pid: u32) -> u64 {
    status_field(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), "VmHWM")
}

/// What of a process's memory is its own, and no page of its program's file: how many there are of those depends on how it was
/// compiled.
pub const OWN_MEMORY: &str = "RssAnon";

/// A process's own memory in KiB.
pub fn own_kib(pid: u32) -> u64 {
    status_field(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), OWN_MEMORY)
}

/// A process's resident memory in KiB.
pub fn rss_kib(pid: u32) -> u64 {
    status_field(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), "VmRSS")
}

/// A field of /proc/PID/status, in KiB; 0 when it is not there.
pub fn status_field(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
