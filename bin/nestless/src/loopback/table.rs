//! Groups and flows for people.

use super::report::{Counters, Fraction, Group, GroupFlows, Groups};
use nestless_page::{Table, or_dash};

/// Judgements after which a packet went on.
const PASSED: [&str; 5] = ["forwarded", "asked", "answered", "refused", "alone"];
/// Those after which it was kept back for the sake of others: two listeners, or refusals that are missing.
const KEPT: [&str; 3] = ["withheld", "clash", "stray"];
const DROPPED: [&str; 5] = ["fragment", "malformed", "foreign", "unsupported", "closed"];

pub(super) fn groups(groups: &Groups) -> String {
    if groups.groups.is_empty() {
        return "no loopback groups: no pod is split over VMs of this host\n".to_owned();
    }
    fractions(&groups.groups)
}

pub(super) fn group_flows(answer: &GroupFlows) -> String {
    let mut text = fractions(std::slice::from_ref(&answer.group));
    text.push_str(&moves(&answer.group));
    let counters = &answer.group.counters;
    let told: Vec<String> = PASSED
        .iter()
        .chain(&KEPT)
        .chain(&DROPPED)
        .filter_map(|name| {
            counters.packets.get(*name).filter(|count| **count > 0).map(|count| format!("{name} {count}"))
        })
        .collect();
    text.push_str(&format!(
        "\npackets: {}\n",
        if told.is_empty() { "none".to_owned() } else { told.join(", ") }
    ));
    if answer.flows.is_empty() {
        return text;
    }
    let mut flows = Table::new(["PROTOCOL", "FROM", "TO", "ASKER", "ANSWERER", "STATE", "WAITING FOR"]);
    for flow in &answer.flows {
        flows.add_row([
            flow.protocol.clone(),
            flow.source.clone(),
            flow.destination.clone(),
            or_dash(&flow.asker),
            or_dash(&flow.answerer),
            flow.state.clone(),
            or_dash(flow.waiting.join(",")),
        ]);
    }
    text.push('\n');
    text.push_str(&flows.terminal());
    let more = answer.flow_count as usize - answer.flows.len().min(answer.flow_count as usize);
    if more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
    text
}

fn fractions(groups: &[Group]) -> String {
    let mut table = Table::new([
        "GROUP",
        "FRACTION",
        "PLACE",
        "VM",
        "POD",
        "PHASE",
        "LINK",
        "PASSED",
        "KEPT BACK",
        "DROPPED",
        "BYTES",
    ]);
    for group in groups {
        for fraction in &group.fractions {
            table.add_row([
                group.whole_name(),
                fraction.name.clone(),
                format!("{} of {}", fraction.place, group.size),
                fraction.vm.clone(),
                who(fraction),
                if fraction.reflected {
                    fraction.phase.clone()
                } else {
                    format!("{}, NO REFLECTOR", fraction.phase)
                },
                fraction.link.clone(),
                sum(&fraction.counters, &PASSED),
                sum(&fraction.counters, &KEPT),
                sum(&fraction.counters, &DROPPED),
                fraction.counters.bytes.to_string(),
            ]);
        }
    }
    table.terminal()
}

/// Where fractions were that are elsewhere now, or nowhere.
fn moves(group: &Group) -> String {
    let moved = group.fractions.iter().filter(|fraction| !fraction.before.is_empty());
    let moved =
        moved.map(|f| format!("{} was in VM {} before, and is in VM {} now\n", f.name, f.before, f.vm));
    let left = group.left.iter().map(|left| {
        format!("{} left place {}, in VM {}: its name is free\n", left.name, left.place, left.vm)
    });
    let lines: String = moved.chain(left).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

fn sum(counters: &Counters, names: &[&str]) -> String {
    names.iter().filter_map(|name| counters.packets.get(*name)).sum::<u64>().to_string()
}

fn who(fraction: &Fraction) -> String {
    match (&fraction.pod, &fraction.attachment) {
        (Some(pod), _) if !pod.name.is_empty() => format!("{}/{}", pod.namespace, pod.name),
        (_, Some(id)) => id.container_id.chars().take(12).collect(),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nestless_proto as proto;

    fn counters(packets: &[(&str, u64)]) -> proto::ReflectorCounters {
        let packets = packets.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        proto::ReflectorCounters { bytes: 4200, packets }
    }

    fn group() -> proto::Group {
        let fraction = |name: &str, place, vm: &str, reflected| proto::Fraction {
            name: name.into(),
            place,
            vm: vm.into(),
            attachment: Some(proto::AttachmentId {
                container_id: format!("{name}-0123456789abcdef"),
                interface: "hostlo0".into(),
            }),
            link: format!("nl{place}"),
            phase: "InUse".into(),
            reflected,
            counters: Some(counters(&[("forwarded", 12), ("asked", 1), ("clash", 2), ("foreign", 3)])),
            before: if place == 1 { "vm3".into() } else { String::new() },
            ..Default::default()
        };
        let left = vec![proto::LeftFraction { name: "app".into(), place: 2, vm: "vm3".into() }];
        proto::Group {
            name: "shop".into(),
            owner: "tenant:a".into(),
            left,
            size: 2,
            fractions: vec![fraction("web", 0, "vm1", true), fraction("database", 1, "vm2", false)],
            counters: Some(counters(&[("forwarded", 24), ("asked", 2), ("clash", 4), ("foreign", 6)])),
        }
    }

    #[test]
    fn a_group_its_flows_and_what_was_kept_back() {
        let flow = |state: &str, answerer: &str, waiting: &[&str]| proto::Flow {
            protocol: "tcp".into(),
            source: "127.0.0.1:32770".into(),
            destination: "127.0.0.1:5432".into(),
            asker: "web".into(),
            answerer: answerer.into(),
            state: state.into(),
            waiting: waiting.iter().map(|&name| name.to_owned()).collect(),
        };
        let flows = vec![flow("bound", "database", &[]), flow("opening", "", &["database"])];
        let answer = proto::ShowGroupResponse { group: Some(group()), flows, flow_count: 3 };
        insta::assert_snapshot!(group_flows(&answer.into()), @r"
        GROUP          FRACTION  PLACE   VM   POD           PHASE                LINK  PASSED  KEPT BACK  DROPPED  BYTES
        tenant:a/shop  web       0 of 2  vm1  web-01234567  InUse                nl0   13      2          3        4200
        tenant:a/shop  database  1 of 2  vm2  database-012  InUse, NO REFLECTOR  nl1   13      2          3        4200

        database was in VM vm3 before, and is in VM vm2 now
        app left place 2, in VM vm3: its name is free

        packets: forwarded 24, asked 2, clash 4, foreign 6

        PROTOCOL  FROM             TO              ASKER  ANSWERER  STATE    WAITING FOR
        tcp       127.0.0.1:32770  127.0.0.1:5432  web    database  bound    -
        tcp       127.0.0.1:32770  127.0.0.1:5432  web    -         opening  database
        and 1 more
        ");
    }

    #[test]
    fn nothing_is_split() {
        assert!(groups(&proto::ListGroupsResponse::default().into()).starts_with("no loopback groups"));
    }
}
