//! What nestless-agent keeps in a VM.

use super::{
    found::{self, Found},
    removal::Removal,
};
use anyhow::Context as _;
use nestless_support::former_settings;
use serde_json::Value;
use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

/// The agent's nftables table, with port mappings.
const TABLE: &str = "nestless";
const CNI_CONFIGURATION: &str = "/etc/cni/net.d";

/// Looks; changes nothing.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn look(run_dir: &Path) -> anyhow::Result<Found> {
    let record = run_dir.join("former-settings.guest");
    let former = former_settings::read(&record).with_context(|| format!("read {}", record.display()))?;
    let mut removals: Vec<Removal> =
        former.into_iter().map(|(key, former)| Removal::Setting { key, former }).collect();
    if has_table() {
        removals.push(Removal::Table(TABLE.to_owned()));
    }
    let attachments = run_dir.join("attachments");
    let there = |path: &PathBuf| path.symlink_metadata().is_ok();
    removals.extend(Some(run_dir.join("parking")).filter(there).map(Removal::Namespace));
    removals.extend(Some(attachments.clone()).filter(there).map(Removal::Folder));
    let ours = ["agent.sock", "agent.lock", "former-settings.guest"].map(|name| run_dir.join(name));
    let files = ours.into_iter().chain(cni_configurations(Path::new(CNI_CONFIGURATION))).filter(there);
    removals.extend(files.map(Removal::File));
    Ok(Found {
        removals,
        in_use: pods(&attachments),
        running: UnixStream::connect(run_dir.join("agent.sock")).is_ok().then_some("nestless-agent"),
        afterwards: found::programs("nestless-guest"),
    })
}

/// Without `nft` nothing can have been mapped.
fn has_table() -> bool {
    let listed = Command::new("nft").args(["list", "tables", "inet"]).output();
    let line = format!("table inet {TABLE}");
    listed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).lines().any(|found| found == line))
}

/// The records of pods that have a NIC.
fn pods(attachments: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(attachments).into_iter().flatten().filter_map(Result::ok);
    let mut pods: Vec<String> = entries.filter_map(|entry| pod(&entry.path())).collect();
    pods.sort();
    pods
}

fn pod(record: &Path) -> Option<String> {
    let record: Value = serde_json::from_slice(&std::fs::read(record).ok()?).ok()?;
    let text = |name: &str| record["attachment"][name].as_str();
    let (container, interface) = (text("container")?, text("interface")?);
    // A sandbox that is gone uses nothing any more.
    let lives = record["sandbox"].as_str().is_none_or(|path| Path::new(path).exists());
    lives.then(|| format!("pod {container}, as its {interface}"))
}

/// Network configurations that name our plugin and no other.
fn cni_configurations(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut ours: Vec<_> = entries.map(|entry| entry.path()).filter(|path| is_ours(path)).collect();
    ours.sort();
    ours
}

fn is_ours(path: &Path) -> bool {
    let Some(conf) = std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok())
    else {
        return false;
    };
    let one = [conf.clone()];
    let plugins = conf["plugins"].as_array().map_or(&one[..], Vec::as_slice);
    !plugins.is_empty() && plugins.iter().all(|plugin| plugin["type"] == "nestless-cni")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configurations_of_our_plugin_alone_are_ours() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.conflist", include_str!("../../../../deploy/guest/10-nestless.conflist"));
        write("b.conflist", r#"{"plugins": [{"type": "bridge"}, {"type": "nestless-cni"}]}"#);
        write("c.conf", r#"{"type": "nestless-cni"}"#);
        write("d.conflist", r#"{"plugins": []}"#);
        write("e", "no JSON");
        let ours = cni_configurations(folder.path());
        assert_eq!(ours, ["a.conflist", "c.conf"].map(|name| folder.path().join(name)));
    }

    #[test]
    fn pods_whose_sandbox_is_there_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (container, sandbox) in [("web", folder.path()), ("dead", Path::new("/nowhere/at/all"))] {
            let record = serde_json::json!({
                "attachment": { "container": container, "interface": "eth0" },
                "sandbox": sandbox,
            });
            std::fs::write(folder.path().join(format!("{container}.json")), record.to_string()).unwrap();
        }
        assert_eq!(pods(folder.path()), ["pod web, as its eth0"]);
    }
}
