//! Keys that a configuration may have. One that means nothing here is misspelt, and what it was to do would silently not be
//! done: the specification lets a plugin refuse it. What runtimes add is left alone.

use super::{CniError, node::Node};

/// Ours, and those of the specification that any plugin may be given.
const OURS: [&str; 4] = ["network", "agentSocket", "mode", "loopback"];
const SPECIFIED: [&str; 11] = [
    "cniVersion",
    "cniVersions",
    "name",
    "type",
    "dns",
    "ipam",
    "args",
    "capabilities",
    "runtimeConfig",
    "prevResult",
    "disableCheck",
];
/// What Multus adds when it delegates.
const ADDED: [&str; 3] = ["deviceID", "pciBusID", "resourceName"];
const OF_DNS: [&str; 4] = ["nameservers", "domain", "search", "options"];
const OF_LOOPBACK: [&str; 3] = ["group", "fraction", "size"];
/// Honoured here.
const CAPABILITIES: [&str; 7] =
    ["ips", "mac", "bandwidth", "portMappings", "dns", "loopback", "io.kubernetes.cri.pod-annotations"];
/// The other ones of CONVENTIONS.md: whoever generates configurations lists all that there are.
const OTHER_CAPABILITIES: [&str; 5] = ["aliases", "cgroupPath", "deviceID", "infinibandGUID", "ipRanges"];

pub(super) fn check(conf: &Node<'_>) -> Result<(), CniError> {
    let known = |key: &str| is_one_of(&OURS, key) || is_one_of(&SPECIFIED, key) || is_one_of(&ADDED, key);
    // Keys with a domain in them are the runtime's: "cni.dev/valid-attachments".
    refuse_unknown(conf, |key| key.contains(['/', '.']) || known(key), &OURS)?;
    if let Some(dns) = conf.get("dns")? {
        refuse_unknown(&dns, |key| is_one_of(&OF_DNS, key), &OF_DNS)?;
    }
    if let Some(loopback) = conf.get("loopback")? {
        refuse_unknown(&loopback, |key| is_one_of(&OF_LOOPBACK, key), &OF_LOOPBACK)?;
    }
    if let Some(capabilities) = conf.get("capabilities")? {
        let known = |key: &str| is_one_of(&CAPABILITIES, key) || is_one_of(&OTHER_CAPABILITIES, key);
        refuse_unknown(&capabilities, known, &CAPABILITIES)?;
    }
    Ok(())
}

fn refuse_unknown(node: &Node<'_>, is_known: impl Fn(&str) -> bool, words: &[&str]) -> Result<(), CniError> {
    match node.keys().find(|key| !is_known(key)) {
        Some(unknown) => Err(node.unknown_key(unknown, words)),
        None => Ok(()),
    }
}

/// In any case: that is how they are read.
fn is_one_of(known: &[&str], key: &str) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(key))
}
