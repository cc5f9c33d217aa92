//! What in the VM keeps mapped connections from being forwarded, although the rules are right: Docker sets the forward policy to
//! drop, and a sysctl may have been set back.

use super::nft;
use nestless_support::sysctl;
use std::{fs, process::Command};

/// What keeps connections from pods' ports, in sentences that say what to do; none: nothing that could be seen. Blocks while
/// `nft` and `iptables` run; works on the calling thread's namespace.
pub fn obstacles() -> Vec<String> {
    let mut found = Vec::new();
    if sysctl::read("net/ipv4/ip_forward").is_ok_and(|value| value == "0") {
        found.push("the VM does not forward: sysctl -w net.ipv4.ip_forward=1".to_owned());
    }
    let rules = nft::list_in_words().unwrap_or_default();
    found.extend(drop_by_default(&rules).iter().map(|(family, chain)| advice(family, chain)));
    for (family, names, programs) in [
        ("ip", "/proc/net/ip_tables_names", ["iptables-legacy", "iptables"]),
        ("ip6", "/proc/net/ip6_tables_names", ["ip6tables-legacy", "ip6tables"]),
    ] {
        // Tables of the older kind, which nft does not list.
        let there = fs::read_to_string(names).is_ok_and(|names| names.lines().any(|name| name == "filter"));
        if there && programs.iter().find_map(|program| saved(program)).is_some_and(|rules| drops(&rules)) {
            found.push(advice(family, "FORWARD of iptables"));
        }
    }
    found
}

fn advice(family: &str, chain: &str) -> String {
    let program = if family == "ip6" { "ip6tables" } else { "iptables" };
    let insert = format!("{program} -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT");
    let what = format!(
        "what the VM forwards is dropped by default (chain {chain}), and so is what comes by hostPort"
    );
    match family {
        "inet" => format!("{what}: accept `ct status dnat` in that chain"),
        _ => format!("{what}: {insert} (Docker keeps it in the chain DOCKER-USER)"),
    }
}

/// Base chains at the forward hook that drop what no rule accepts, as `nft list ruleset` prints them, in tables that have no rule
/// for translated connections: family, and the chain's full name.
fn drop_by_default(rules: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (mut table, mut chain) = (String::new(), String::new());
    let (mut dropping, mut accepts) = (Vec::new(), false);
    for line in rules.lines().map(str::trim).chain(["table "]) {
        if let Some(name) = line.strip_prefix("table ") {
            if !accepts {
                found.append(&mut dropping);
            }
            (dropping, accepts) = (Vec::new(), false);
            name.trim_end_matches(" {").clone_into(&mut table);
        } else if let Some(name) = line.strip_prefix("chain ") {
            name.trim_end_matches(" {").clone_into(&mut chain);
        } else if line.contains("hook forward ") && line.contains("policy drop") {
            let family = table.split(' ').next().unwrap_or_default().to_owned();
            if matches!(family.as_str(), "ip" | "ip6" | "inet") {
                dropping.push((family, format!("{table} {chain}")));
            }
        }
        accepts |= line.contains("ct status dnat") && line.contains("accept");
    }
    found
}

/// The same for `iptables -S`.
fn drops(rules: &str) -> bool {
    let accepts = |line: &str| line.contains("--ctstate DNAT") && line.contains("-j ACCEPT");
    rules.lines().any(|line| line == "-P FORWARD DROP") && !rules.lines().any(accepts)
}

fn saved(program: &str) -> Option<String> {
    let output = Command::new(program).arg("-S").output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = "\
table ip nat {
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
	}
}
table ip filter {
	chain DOCKER-USER {
		return
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		jump DOCKER-USER
		ct state related,established accept
	}
}
table bridge filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
";

    #[test]
    fn docker_s_policy_is_named_until_translated_connections_are_accepted() {
        assert_eq!(drop_by_default(DOCKER), [("ip".to_owned(), "ip filter FORWARD".to_owned())]);
        let mended = DOCKER.replace("\t\treturn\n", "\t\tct status dnat counter accept\n\t\treturn\n");
        assert_eq!(drop_by_default(&mended), []);
        // One in another table does not help.
        let elsewhere =
            DOCKER.replacen("\t}\n}\n", "\t}\n\tchain x {\n\t\tct status dnat accept\n\t}\n}\n", 1);
        assert_eq!(drop_by_default(&elsewhere).len(), 1);
        assert_eq!(drop_by_default(&DOCKER.replace("policy drop", "policy accept")), []);
    }

    #[test]
    fn so_is_that_of_older_tables() {
        let rules = "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n";
        assert!(drops(rules));
        assert!(!drops(&format!("{rules}-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT\n")));
        assert!(!drops(&rules.replace("DROP", "ACCEPT")));
    }
}
