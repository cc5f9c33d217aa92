//! Settings of 127.0.0.1 that Hostlo changes in a sandbox, and nowhere else.

use nestless_lab::Exec;
use nestless_test::{Site, split::Fraction};
use std::{collections::BTreeMap, process::Command};

const SETTINGS: [&str; 3] = ["route_localnet", "accept_local", "rp_filter"];

/// What each place has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Of the VMs' own namespaces, of the lab's host, and of this machine.
    pub(super) async fn outside(site: &Site) -> Self {
        let line = line();
        let mut found = BTreeMap::new();
        for vm in site.vms() {
            let output = vm.exec(&Exec::shell(&line)).await.unwrap();
            found.insert(vm.name().to_string(), read(&output.stdout));
        }
        let output = site.host_exec(&Exec::shell(&line)).await.unwrap();
        found.insert("the lab's host".to_owned(), read(&output.stdout));
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        found.insert("this machine".to_owned(), read(&output.stdout));
        Self(found)
    }

    /// Of a fraction's sandbox.
    pub(super) async fn of(fraction: &Fraction<'_>) -> Self {
        Self([(fraction.name.to_owned(), read(&fraction.runs(&line()).await.stdout))].into())
    }
}

fn line() -> String {
    let links = ["lo", "all", "default"];
    let of_links = links.iter().flat_map(|link| SETTINGS.map(|setting| format!("conf/{link}/{setting}")));
    let files: Vec<_> = of_links.chain(["ip_local_port_range".to_owned()]).collect();
    format!("cd /proc/sys/net/ipv4 && grep . {}", files.join(" "))
}

fn read(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output).into_owned();
    assert_eq!(text.lines().count(), 3 * SETTINGS.len() + 1, "{text}");
    text
}
