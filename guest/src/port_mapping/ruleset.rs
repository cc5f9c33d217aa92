//! The table's contents, as commands in the JSON of libnftables (`man 5 libnftables-json`).

use nestless_model::{identity::AttachmentId, port_mapping::PortMapping};
use serde_json::{Value, json};
use std::net::IpAddr;

pub(super) const FAMILY: &str = "inet";
pub(super) const TABLE: &str = "nestless";
/// Base chains, the hooks they sit at, and their priorities (dstnat and srcnat of `man nft`).
pub(super) const BASE_CHAINS: [(&str, &str, i32); 3] =
    [("prerouting", "prerouting", -100), ("output", "output", -100), ("postrouting", "postrouting", 100)];

/// Names an attachment's chains: container ids are longer than chain names may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn of(attachment: &AttachmentId) -> Self {
        Self(format!("{:016x}", attachment.digest()))
    }

    pub(super) fn inward(&self) -> String {
        format!("in-{}", self.0)
    }

    pub(super) fn outward(&self) -> String {
        format!("out-{}", self.0)
    }

    pub(super) fn of_chain(chain: &str) -> Option<Self> {
        let digits = chain.strip_prefix("in-").or_else(|| chain.strip_prefix("out-"))?;
        Some(Self(digits.to_owned()))
    }
}

/// Makes table and base chains where they are missing; changes nothing where they are not.
pub(super) fn base() -> Vec<Value> {
    let mut commands = vec![json!({"add": {"table": {"family": FAMILY, "name": TABLE}}})];
    for (name, hook, priority) in BASE_CHAINS {
        commands.push(json!({"add": {"chain": {
            "family": FAMILY, "table": TABLE, "name": name,
            "type": "nat", "hook": hook, "prio": priority, "policy": "accept",
        }}}));
    }
    commands
}

/// One attachment's chains, rules, and the jumps that lead to them.
pub(super) fn addition(
    key: &Key,
    attachment: &AttachmentId,
    addresses: &[IpAddr],
    mappings: &[PortMapping],
) -> Vec<Value> {
    let (inward, outward) = (key.inward(), key.outward());
    let chain = |name: &str| json!({"add": {"chain": {"family": FAMILY, "table": TABLE, "name": name}}});
    let mut commands = vec![chain(&inward), chain(&outward)];
    for (base, target) in [("prerouting", &inward), ("output", &inward), ("postrouting", &outward)] {
        commands.push(rule(base, attachment, vec![json!({"jump": {"target": target}})]));
    }
    for mapping in mappings {
        for address in addresses {
            if !mapping.is_for(*address) {
                continue;
            }
            commands.push(rule(&inward, attachment, translate(mapping, *address)));
            commands.push(rule(&outward, attachment, masquerade(mapping, *address)));
        }
    }
    commands
}

/// Deletes the jumps, then the chains, of every attachment that is `dead`, as far as `listing` has them.
pub(super) fn removal(listing: &Value, dead: impl Fn(&Key) -> bool) -> Vec<Value> {
    let dead = |chain: &str| Key::of_chain(chain).is_some_and(|key| dead(&key));
    let (mut jumps, mut flushes, mut chains) = (Vec::new(), Vec::new(), Vec::new());
    for object in listing["nftables"].as_array().into_iter().flatten() {
        let (rule, chain) = (&object["rule"], &object["chain"]);
        let ours = |object: &Value| object["family"] == FAMILY && object["table"] == TABLE;
        if ours(rule) && jump_target(rule).is_some_and(&dead) {
            jumps.push(json!({"delete": {"rule": {
                "family": FAMILY, "table": TABLE, "chain": rule["chain"], "handle": rule["handle"],
            }}}));
        }
        if ours(chain) && chain["name"].as_str().is_some_and(&dead) {
            let name = json!({"family": FAMILY, "table": TABLE, "name": chain["name"]});
            flushes.push(json!({"flush": {"chain": name}}));
            chains.push(json!({"delete": {"chain": name}}));
        }
    }
    [jumps, flushes, chains].concat()
}

pub(super) fn jump_target(rule: &Value) -> Option<&str> {
    rule["expr"].as_array()?.iter().find_map(|expression| expression["jump"]["target"].as_str())
}

fn rule(chain: &str, attachment: &AttachmentId, expressions: Vec<Value>) -> Value {
    // The kernel allows 128 bytes; a person needs the beginning.
    let comment: String = attachment.to_string().chars().take(100).collect();
    json!({"add": {"rule": {
        "family": FAMILY, "table": TABLE, "chain": chain, "comment": comment, "expr": expressions,
    }}})
}

fn translate(mapping: &PortMapping, address: IpAddr) -> Vec<Value> {
    let family = family(address);
    let mut expressions = vec![equals(json!({"meta": {"key": "nfproto"}}), json!(nfproto(address)))];
    match mapping.only_at() {
        Some(host) => expressions.push(equals(payload(family, "daddr"), json!(host.to_string()))),
        None => {
            expressions.push(equals(json!({"fib": {"result": "type", "flags": ["daddr"]}}), json!("local")))
        }
    }
    if address.is_ipv4() {
        let loopback = json!({"prefix": {"addr": "127.0.0.0", "len": 8}});
        expressions.push(json!({"match": {"op": "!=", "left": payload(family, "daddr"), "right": loopback}}));
    }
    expressions.push(equals(payload(mapping.protocol.as_str(), "dport"), json!(mapping.host_port)));
    expressions.push(
        json!({"dnat": {"family": family, "addr": address.to_string(), "port": mapping.container_port}}),
    );
    expressions
}

fn masquerade(mapping: &PortMapping, address: IpAddr) -> Vec<Value> {
    let translated = json!({"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}});
    vec![
        translated,
        equals(payload(family(address), "daddr"), json!(address.to_string())),
        equals(payload(mapping.protocol.as_str(), "dport"), json!(mapping.container_port)),
        json!({"masquerade": null}),
    ]
}

fn equals(left: Value, right: Value) -> Value {
    json!({"match": {"op": "==", "left": left, "right": right}})
}

fn payload(protocol: &str, field: &str) -> Value {
    json!({"payload": {"protocol": protocol, "field": field}})
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

fn nfproto(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ipv4" } else { "ipv6" }
}
