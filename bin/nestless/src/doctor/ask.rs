//! Asks what runs, and judges nothing.

use super::{
    running_guest::{self, Answer},
    running_host::{self, Configuration},
};
use crate::{cni_plugin::Plugin, net::echo, operator::Daemon, status::ask};
use nestless_lab::image::{Program, Programs};
use nestless_support::{netlink::Netlink, netns::Namespace};
use serde_json::{Value, json};
use std::{
    net::IpAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const AGENT_SOCKET: &str = "/run/nestless/agent.sock";
const RECORDS: &str = "/run/nestless/attachments";
const CONFIGURATION: &str = "/etc/nestless/nestlessd.toml";
/// So many pods are enough to show that pods reach their gateways.
const PODS: usize = 4;

/// The daemon, and the file that it is started with.
pub(super) async fn host(daemon: &Daemon, config: Option<&Path>) -> running_host::Running {
    let status = ask(daemon).await.map_err(|error| format!("{error:#}"));
    let file = config.map_or_else(|| daemon.configuration(), |path| Some(path.to_owned()));
    let named = file.is_some();
    let file = file.unwrap_or_else(|| PathBuf::from(CONFIGURATION));
    let configuration = match file.exists() {
        true => check(&file),
        false if named => Configuration::Wrong { why: format!("there is no {}", file.display()) },
        // A daemon that answers was started with another one.
        false if status.is_ok() => Configuration::Unknown {
            why: format!("there is no {CONFIGURATION}, and it is not known what nestlessd was started with"),
        },
        false => Configuration::None,
    };
    running_host::Running { status: Some(status), configuration }
}

/// Has nestlessd itself read it.
fn check(file: &Path) -> Configuration {
    let shown = file.display().to_string();
    let program = match Programs::locate().find(Program::Nestlessd) {
        Ok(program) => program,
        Err(_) => PathBuf::from("nestlessd"),
    };
    let checked = Command::new(&program)
        .arg("--config")
        .arg(file)
        .arg("--check")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    match checked {
        Ok(output) if output.status.success() => Configuration::Right { file: shown },
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let why = why.strip_prefix("nestlessd: ").unwrap_or(&why).to_owned();
            Configuration::Wrong { why }
        }
        Err(error) => Configuration::Unknown {
            why: format!("{shown} was not checked: {} could not be run: {error}", program.display()),
        },
    }
}

/// The agent, its host, and the pods' gateways.
pub(super) async fn guest() -> running_guest::Running {
    running_guest::Running { answer: agent().await, gateways: gateways().await }
}

async fn agent() -> Answer {
    if UnixStream::connect(AGENT_SOCKET).is_err() {
        return Answer::Silent;
    }
    let Ok(plugin) = Plugin::find(None) else { return Answer::NotAsked };
    let configuration = json!({"cniVersion": "1.1.0", "name": "doctor", "type": "nestless-cni"});
    match plugin.call("STATUS", &configuration, &[]).await {
        Ok(_) => Answer::Ready,
        Err(error) => Answer::Unready { why: format!("{error:#}") },
    }
}

/// Of the first pods that the agent has records of.
async fn gateways() -> Vec<(String, Result<(), String>)> {
    let mut found = Vec::new();
    for (pod, sandbox) in sandboxes().into_iter().take(PODS) {
        match of_sandbox(&sandbox).await {
            Ok(tried) => found.extend(
                tried
                    .into_iter()
                    .map(|(gateway, outcome)| (format!("gateway {gateway} of pod {pod}"), outcome)),
            ),
            Err(error) => found.push((format!("pod {pod}"), Err(format!("{error:#}")))),
        }
    }
    found
}

/// Container and namespace of each interface that is in use; a fraction's endpoint has no gateway.
fn sandboxes() -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(RECORDS) else { return Vec::new() };
    let record = |path: PathBuf| -> Option<(String, PathBuf)> {
        let record: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let interface = text(&record["attachment"]["interface"])?;
        let in_use = record["phase"] == "InUse" && !interface.starts_with("hostlo");
        in_use.then_some(())?;
        Some((text(&record["attachment"]["container"])?, text(&record["sandbox"])?.into()))
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "json")).filter_map(record).collect();
    found.sort();
    found
}

async fn of_sandbox(sandbox: &Path) -> anyhow::Result<Vec<(IpAddr, Result<(), String>)>> {
    let namespace = Namespace::open(sandbox)?;
    let routes = Netlink::inside(&namespace).await?.routes().await?;
    let defaults = routes.into_iter().filter(|route| route.destination.prefix_len() == 0);
    let gateways: Vec<IpAddr> = defaults.filter_map(|route| route.gateway).collect();
    let tried = namespace.run(move || {
        gateways
            .into_iter()
            .map(|gateway| (gateway, echo(gateway).map_err(|error| format!("{error:#}"))))
            .collect::<Vec<_>>()
    });
    Ok(tried.await?)
}
