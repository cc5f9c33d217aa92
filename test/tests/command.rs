//! What the command offers a person beside a lab: names that are completed, and logs to take away.

use nestless_lab::{
    LabName, Vmm,
    image::{Program, Programs},
};
use nestless_test::{Site, lab};
use std::{path::Path, process::Output};
use tokio::process::Command;

fn nestless() -> Command {
    let mut command = Command::new(Programs::locate().find(Program::Nestless).unwrap());
    command.kill_on_drop(true);
    command
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// What a shell offers for the last of these words.
async fn offered(words: &[&str]) -> Vec<String> {
    let mut command = nestless();
    command
        .env("COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    let output = command.args(["--", "nestless"]).args(words).output().await.unwrap();
    let offered = text(&output).lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    offered.into_iter().filter(|word| !word.starts_with('-')).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_what_lives_are_completed() {
    let site = Site::up(lab("words", Vmm::Namespace).vms(2)).await;
    for (vm, pod) in [("vm1", "web"), ("vm2", "database")] {
        site.pod_add(vm, pod, Default::default()).await.unwrap();
    }
    let name = site.name().as_str();
    assert!(offered(&["lab", "down", "--name", ""]).await.contains(&name.to_owned()));
    assert_eq!(offered(&["lab", "exec", "--name", name, ""]).await, ["vm1", "vm2", "host"]);
    assert_eq!(offered(&["lab", "pod", "del", "--name", name, "v"]).await, ["vm1", "vm2"]);
    assert_eq!(offered(&["lab", "pod", "del", "--name", name, "vm2", ""]).await, ["database"]);
    assert_eq!(offered(&["trace", "--lab", name, ""]).await, ["database", "web"]);
    assert_eq!(offered(&["release", "--lab", name, "vm1", ""]).await, ["web"]);
    let nobody = offered(&["trace", "--socket", "/nowhere/at/all", ""]).await;
    assert!(nobody.is_empty(), "{nobody:?}");
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_exported_also_of_a_lab_that_is_broken() {
    let mut site = Site::up(lab("logs", Vmm::Namespace)).await;
    let folder = tempfile::tempdir().unwrap();
    let name = site.name().clone();
    let whole = export(&name, &folder.path().join("whole.tar.gz")).await;
    let of = |path: &str| format!("{name}-logs/{path}");
    for (path, words) in [
        ("nestlessd.log", "ready"),
        ("nestlessd.toml", "nestless0"),
        ("state.json", "\"ready\": true"),
        ("host/links.txt", "nestless0"),
        ("host/nftables.txt", "table inet nestless-"),
        ("vm1/network.txt", "eth0"),
    ] {
        let content = whole.iter().find(|(found, _)| *found == of(path)).map(|(_, content)| content);
        assert!(content.is_some_and(|content| content.contains(words)), "{path}: {content:?}");
    }
    assert!(!whole.iter().any(|(path, _)| path.contains("redb") || path.contains(".sock")));

    site.kill_daemon().await.unwrap();
    let vm = site.state().vms[0].process.unwrap();
    tokio::task::spawn_blocking(move || vm.kill(std::time::Duration::from_secs(20))).await.unwrap().unwrap();
    let broken = export(&name, &folder.path().join("broken.tar.gz")).await;
    let network = broken.iter().find(|(path, _)| *path == of("vm1/network.txt")).unwrap();
    assert!(network.1.contains("no answer"), "{network:?}");
    assert!(broken.iter().any(|(path, _)| *path == of("nestlessd.log")));
    site.down().await;
    let refused = nestless().args(["lab", "export-logs", "--name", name.as_str()]).output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("`nestless lab ls`"), "{said}");
}

/// Path and text of each file.
async fn export(name: &LabName, file: &Path) -> Vec<(String, String)> {
    let mut command = nestless();
    command.args(["lab", "export-logs", "--name", name.as_str()]).arg(file);
    assert_eq!(text(&command.output().await.unwrap()), file.display().to_string());
    let listed = Command::new("tar").arg("-tzf").arg(file).output().await.unwrap();
    let mut files = Vec::new();
    for path in text(&listed).lines() {
        let content = Command::new("tar").arg("-xOzf").arg(file).arg(path).output().await.unwrap();
        files.push((path.to_owned(), text(&content)));
    }
    files
}
