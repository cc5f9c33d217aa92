//! Whether the table has all that was put into it: `nft flush ruleset` is a habit of firewalls.

use super::ruleset::{BASE_CHAINS, FAMILY, Key, TABLE, jump_target};
use nestless_model::{identity::AttachmentId, port_mapping::PortMapping};
use serde_json::Value;
use std::net::IpAddr;

/// What was set for one attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Whose they are.
    pub attachment: AttachmentId,
    /// Where they lead.
    pub addresses: Vec<IpAddr>,
    /// The ports.
    pub mappings: Vec<PortMapping>,
}

/// What of it a listing lacks, in sentences.
pub(super) fn missing(listing: &Value, mapped: &Mapped) -> Vec<String> {
    let key = Key::of(&mapped.attachment);
    let (inward, outward) = (key.inward(), key.outward());
    let objects = || listing["nftables"].as_array().into_iter().flatten();
    let is_ours = |object: &Value| object["family"] == FAMILY && object["table"] == TABLE;
    let rules = |chain: &str| {
        let of_chain = move |rule: &&Value| is_ours(rule) && rule["chain"] == chain;
        objects().map(|object| &object["rule"]).filter(of_chain).collect::<Vec<_>>()
    };
    let mut faults = Vec::new();
    for (base, hook, _) in BASE_CHAINS {
        let is_base = |chain: &Value| is_ours(chain) && chain["name"] == base && chain["hook"] == hook;
        let target = if base == "postrouting" { &outward } else { &inward };
        let leads_there = rules(base).iter().any(|rule| jump_target(rule) == Some(target));
        if !objects().any(|object| is_base(&object["chain"])) || !leads_there {
            faults.push(format!(
                "nothing leads from the hook {hook} to its ports (nftables table {FAMILY} {TABLE})"
            ));
        }
    }
    let (inward, outward) = (rules(&inward), rules(&outward));
    let mut expected = 0;
    for mapping in &mapped.mappings {
        for address in mapped.addresses.iter().filter(|address| mapping.is_for(**address)) {
            expected += 1;
            if !inward.iter().any(|rule| translates(rule, mapping, *address)) {
                let to = std::net::SocketAddr::new(*address, mapping.container_port);
                faults.push(format!("hostPort {mapping} does not lead to {to}"));
            }
        }
    }
    if outward.len() < expected {
        faults.push("answers do not come back by way of the VM (masquerade rules are missing)".to_owned());
    }
    faults
}

fn translates(rule: &Value, mapping: &PortMapping, address: IpAddr) -> bool {
    let expressions = || rule["expr"].as_array().into_iter().flatten();
    let asks = |expression: &Value| {
        let field = &expression["match"]["left"]["payload"];
        field["field"] == "dport"
            && field["protocol"] == mapping.protocol.as_str()
            && expression["match"]["right"] == mapping.host_port
    };
    let leads = |expression: &Value| {
        let target = &expression["dnat"];
        target["addr"] == address.to_string() && target["port"] == mapping.container_port
    };
    expressions().any(asks) && expressions().any(leads)
}

/// The addresses that the rules of attachments lead to.
pub(super) fn targets(listing: &Value, of: impl Fn(&Key) -> bool) -> Vec<IpAddr> {
    let objects = listing["nftables"].as_array().into_iter().flatten().map(|object| &object["rule"]);
    let of_those = objects.filter(|rule| {
        let chain = rule["chain"].as_str().and_then(Key::of_chain);
        rule["family"] == FAMILY && rule["table"] == TABLE && chain.is_some_and(|key| of(&key))
    });
    let expressions = of_those.flat_map(|rule| rule["expr"].as_array().into_iter().flatten());
    expressions.filter_map(|expression| expression["dnat"]["addr"].as_str()?.parse().ok()).collect()
}
