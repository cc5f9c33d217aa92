//! `nestless lab export-logs`

use super::which::Which;
use crate::output;
use anyhow::Context as _;
use flate2::{Compression, write::GzEncoder};
use nestless_lab::{Exec, Lab, LabName};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// A VM that hangs is one of the reasons to export logs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Asked on the lab's host: the answer's file, and the question.
const OF_THE_HOST: [(&str, &str); 6] = [
    ("links", "ip -details -statistics link"),
    ("addresses", "ip address"),
    ("routes", "ip route show table all"),
    ("bridge", "bridge fdb"),
    (
        "filters",
        "for link in $(ls /sys/class/net); do echo \"$link:\"; tc filter show dev $link ingress; done",
    ),
    ("nftables", "nft list ruleset"),
];
/// Asked in each VM.
const OF_A_VM: [(&str, &str); 4] = [
    ("kernel", "dmesg"),
    ("network", "ip address 2>/dev/null || busybox ip address"),
    ("processes", "busybox ps"),
    ("attachments", "grep . /run/nestless/attachments/* 2>/dev/null; :"),
];

/// Write a lab's logs and the state of its host and VMs into a .tar.gz, to be read later or sent to somebody. Also of a lab that
/// is broken: what cannot be had is said in its place.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Default: LAB-logs.tar.gz, here.
    #[arg(value_name = "FILE", value_parser = output::destination)]
    file: Option<PathBuf>,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let name = &self.which.name;
        anyhow::ensure!(
            name.dir().is_dir(),
            "there is nothing of a lab {name}: `nestless lab ls` shows the labs of this machine"
        );
        let file = self.file.clone().unwrap_or_else(|| format!("{name}-logs.tar.gz").into());
        let written = || format!("write {}", file.display());
        let archive = fs::File::create(&file).with_context(written)?;
        let mut archive = tar::Builder::new(GzEncoder::new(archive, Compression::default()));
        let top = format!("{name}-logs");
        for path in files(&name.dir()).with_context(|| format!("list {}", name.dir().display()))? {
            let to = Path::new(&top).join(path.strip_prefix(name.dir()).unwrap_or(&path));
            // One that goes meanwhile is no log any more.
            if let Ok(content) = fs::read(&path) {
                append(&mut archive, &to, &content).with_context(written)?;
            }
        }
        for (path, content) in answers(name).await {
            append(&mut archive, &Path::new(&top).join(path), content.as_bytes()).with_context(written)?;
        }
        archive.into_inner().and_then(GzEncoder::finish).with_context(written)?;
        output::print(&format!("{}\n", file.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// All that is text in the lab's folder. Its ledger, and sockets, are not.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files(&entry.path())?);
        } else if kind.is_file()
            && entry.path().extension().is_some_and(|kind| is_text(&kind.to_string_lossy()))
        {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn is_text(extension: &str) -> bool {
    matches!(extension, "log" | "json" | "toml" | "host" | "guest" | "txt")
}

/// What host and VMs say now.
async fn answers(name: &LabName) -> Vec<(String, String)> {
    let lab = match Lab::open(name) {
        Ok(lab) => lab,
        Err(error) => return vec![("host.txt".into(), format!("the lab does not open: {error:#}\n"))],
    };
    let mut answers = Vec::new();
    for (what, question) in OF_THE_HOST {
        let exec = Exec::shell(question);
        answers.push((format!("host/{what}.txt"), answer(question, lab.host_exec(&exec)).await));
    }
    for vm in lab.vms() {
        let vm = vm.name().as_str();
        for (what, question) in OF_A_VM {
            let exec = Exec::shell(question);
            answers.push((format!("{vm}/{what}.txt"), answer(question, lab.exec(vm, &exec)).await));
        }
    }
    answers
}

async fn answer<E: std::error::Error + Send + Sync + 'static>(
    question: &str,
    asked: impl Future<Output = Result<nestless_lab::Output, E>>,
) -> String {
    let told = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(output)) => format!("{}{}", output.text(), String::from_utf8_lossy(&output.stderr)),
        Ok(Err(error)) => format!("no answer: {:#}", anyhow::Error::new(error)),
        Err(_) => format!("no answer in {PATIENCE:?}"),
    };
    format!("$ {question}\n{}\n", told.trim_end())
}

fn append(archive: &mut tar::Builder<impl Write>, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_taken_and_ledgers_and_sockets_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("vm1")).unwrap();
        for name in ["nestlessd.log", "state.json", "ledger.redb", "vm1/console.log"] {
            fs::write(path(name), "").unwrap();
        }
        let _socket = std::os::unix::net::UnixListener::bind(path("vm1/qmp.log")).unwrap();
        assert_eq!(
            files(folder.path()).unwrap(),
            ["nestlessd.log", "state.json", "vm1/console.log"].map(path)
        );
    }
}
