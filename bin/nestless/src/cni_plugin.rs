//! Calls the CNI plugin of this VM as a container runtime does: the whole way to the host is asked, not a part of it.

use anyhow::{Context as _, anyhow};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

/// Where container runtimes look.
const FOLDERS: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];
const NAME: &str = "nestless-cni";
/// Longer than the plugin waits for the agent.
const DEADLINE: Duration = Duration::from_secs(120);

/// The plugin.
pub(crate) struct Plugin(PathBuf);

/// What it said against a call.
#[derive(Debug, thiserror::Error)]
#[error("CNI {command}: {message}{}", code.map(|code| format!(" (code {code})")).unwrap_or_default())]
pub(crate) struct Refused {
    command: String,
    message: String,
    pub(crate) code: Option<u64>,
}

impl Plugin {
    /// The one given; or the one that runtimes call; or the one beside this program.
    pub(crate) fn find(given: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = given {
            return Ok(Self(path.to_owned()));
        }
        let own = std::env::current_exe().ok();
        let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
        let mut folders = FOLDERS.iter().map(PathBuf::from).chain(beside);
        let found = folders.find_map(|folder| Some(folder.join(NAME)).filter(|path| path.is_file()));
        found.map(Self).ok_or_else(|| {
            anyhow!(
                "there is no {NAME} in {} or beside this program: name it with --plugin",
                FOLDERS.join(", ")
            )
        })
    }

    /// One call. Null where it answers nothing. Dropping the future ends the plugin, and the agent carries on.
    pub(crate) async fn call(
        &self,
        command: &str,
        configuration: &Value,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Value> {
        let run = || format!("run {}", self.0.display());
        let mut child = Command::new(&self.0)
            .env("CNI_COMMAND", command)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(run)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read what it is given says why.
            let _ = stdin.write_all(configuration.to_string().as_bytes()).await;
        }
        let ended = timeout(DEADLINE, child.wait_with_output()).await;
        let output = ended.map_err(|_| anyhow!("CNI {command} was not answered within {DEADLINE:?}"))?;
        let output = output.with_context(run)?;
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() {
            return Ok(answer);
        }
        let details = answer["details"].as_str().filter(|text| !text.is_empty());
        let said = answer["msg"].as_str().map(|text| match details {
            Some(details) => format!("{text}: {details}"),
            None => text.to_owned(),
        });
        let message = said.unwrap_or_else(|| String::from_utf8_lossy(&output.stderr).trim().to_owned());
        Err(Refused { command: command.to_owned(), message, code: answer["code"].as_u64() }.into())
    }
}
