//! Calls of our CNI plugin in a VM, as a container runtime makes them.

use crate::{
    error::LabError,
    guest::{Exec, Output},
    image::Program,
    vm::Vm,
};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;

const AGENT_SOCKET: &str = "/run/nestless/agent.sock";
const INTERFACE: &str = "eth0";
/// CNI SPEC 1.1.0, "Error": try again later. An agent that has just started says so.
const TRY_AGAIN: u64 = 11;
const RETRY_DELAY: Duration = Duration::from_millis(100);
const RETRY_DEADLINE: Duration = Duration::from_secs(30);

/// The plugin, for one pod.
#[derive(Clone, Copy)]
pub(crate) struct Plugin<'a> {
    pub(crate) vm: &'a Vm,
    pub(crate) pod: &'a str,
    /// CNI_ARGS.
    pub(crate) args: &'a str,
    /// Give up at "try again later".
    pub(crate) once: bool,
}

impl Plugin<'_> {
    /// ADD, with further keys in the configuration; the result.
    pub(crate) async fn add(&self, keys: &Map<String, Value>) -> Result<Value, LabError> {
        let output = self.call("ADD", keys).await?;
        serde_json::from_slice(&output.stdout).map_err(|_| self.refusal("ADD", &output))
    }

    /// DEL, with further keys in the configuration.
    pub(crate) async fn del(&self, keys: &Map<String, Value>) -> Result<(), LabError> {
        self.call("DEL", keys).await.map(drop)
    }

    /// Calls, as often as it says that it should be called again.
    async fn call(&self, command: &'static str, keys: &Map<String, Value>) -> Result<Output, LabError> {
        let deadline = Instant::now() + RETRY_DEADLINE;
        loop {
            let output = self.vm.exec(&self.exec(command, keys)).await?;
            if output.exit.is_success() {
                return Ok(output);
            }
            match self.refusal(command, &output) {
                LabError::Cni { code: Some(TRY_AGAIN), .. } if !self.once && Instant::now() < deadline => {
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                refused => return Err(refused),
            }
        }
    }

    fn exec(&self, command: &str, keys: &Map<String, Value>) -> Exec {
        let mut config = json!({
            "cniVersion": "1.1.0",
            "name": "pods",
            "type": "nestless-cni",
            "network": "pods",
            "agentSocket": AGENT_SOCKET,
        });
        if let Some(map) = config.as_object_mut() {
            map.extend(keys.clone());
        }
        let exec = Exec::new([Program::Cni.name()])
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", self.pod)
            .env("CNI_NETNS", format!("/run/netns/{}", self.pod))
            .env("CNI_IFNAME", INTERFACE)
            .env("CNI_PATH", "/opt/cni/bin:/usr/lib/cni")
            .stdin(config.to_string());
        if self.args.is_empty() { exec } else { exec.env("CNI_ARGS", self.args) }
    }

    /// The message of CNI's error object, or whatever the plugin wrote.
    fn refusal(&self, command: &'static str, output: &Output) -> LabError {
        let object: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let told = object.as_ref().and_then(|object| {
            let message = object["msg"].as_str()?;
            let details = object["details"].as_str().filter(|d| !d.is_empty());
            Some(details.map_or(message.to_owned(), |d| format!("{message}: {d}")))
        });
        let code = object.as_ref().and_then(|object| object["code"].as_u64());
        let message = told.unwrap_or_else(|| {
            let text = String::from_utf8_lossy(&output.stderr);
            format!("{} {}", output.text(), text.trim())
        });
        LabError::Cni { command, vm: self.vm.name().clone(), pod: self.pod.to_owned(), message, code }
    }
}
