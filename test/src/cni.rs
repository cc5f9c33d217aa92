//! Calls of the real plugin in a VM, with every variable under the test's control.

use nestless_lab::{Exec, Lab, LabError, image::Program};
use serde_json::{Value, json};

/// "Try again later" (CNI SPEC 1.1.0, "Error").
pub const TRY_AGAIN: u64 = 11;

/// A call to make.
#[derive(Clone, Debug)]
pub struct Call {
    command: String,
    environment: Vec<(String, Option<String>)>,
    conf: Value,
    raw: Option<String>,
}

/// The plugin's error object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// CNI's number.
    pub code: u64,
    /// What is wrong.
    pub msg: String,
    /// What to do.
    pub details: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (code {}): {}", self.msg, self.code, self.details)
    }
}

impl Call {
    /// `command` for the eth0 of a container whose sandbox has its name.
    pub fn new(command: &str, container: &str) -> Self {
        let conf = json!({
            "cniVersion": "1.1.0", "name": "pods", "type": "nestless-cni", "network": "pods",
            "agentSocket": "/run/nestless/agent.sock",
        });
        Self { command: command.to_owned(), environment: Vec::new(), conf, raw: None }
            .env("CNI_CONTAINERID", container)
            .env("CNI_NETNS", &format!("/run/netns/{container}"))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/opt/cni/bin")
    }

    /// With a variable set, in place of what stood there.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// With a key of the configuration.
    #[must_use]
    pub fn conf(mut self, key: &str, value: Value) -> Self {
        self.conf[key] = value;
        self
    }

    /// With this on standard input instead of a configuration.
    #[must_use]
    pub fn raw(mut self, text: &str) -> Self {
        self.raw = Some(text.to_owned());
        self
    }

    /// The program to run.
    pub fn exec(&self) -> Exec {
        let input = self.raw.clone().unwrap_or_else(|| self.conf.to_string());
        let mut exec = Exec::new([Program::Cni.name()]).env("CNI_COMMAND", &self.command).stdin(input);
        for (name, value) in &self.environment {
            if let Some(value) = value {
                exec = exec.env(name, value);
            }
        }
        exec
    }

    /// Makes it, once.
    ///
    /// # Errors
    /// The plugin's own.
    ///
    /// # Panics
    /// When the plugin answers neither as the specification says.
    pub async fn run(&self, lab: &Lab, vm: &str) -> Result<Value, Failure> {
        let output = lab.exec(vm, &self.exec()).await.expect("the plugin can be run");
        answer(&output)
    }

    /// Makes it as a runtime does: again, while it is told to try later.
    ///
    /// # Errors
    /// As [`Call::run`].
    pub async fn insist(&self, lab: &Lab, vm: &str) -> Result<Value, Failure> {
        let outcome = crate::eventually(&self.command, || async {
            match self.run(lab, vm).await {
                Err(failure) if failure.code == TRY_AGAIN => Err(failure.to_string()),
                outcome => Ok(outcome),
            }
        });
        outcome.await
    }
}

/// What the plugin has answered. Success has exit code 0 and a result, or nothing; failure another code and the error
/// object.
///
/// # Errors
/// The plugin's own.
///
/// # Panics
/// When it answers otherwise than the specification says.
pub fn answer(output: &nestless_lab::Output) -> Result<Value, Failure> {
    let text = output.text();
    let object = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect(&text) };
    if output.exit.is_success() {
        assert!(object.get("code").is_none(), "{object}");
        return Ok(object);
    }
    let field = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
    let code = object["code"].as_u64();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = code.unwrap_or_else(|| panic!("no error object, {}: {text} {stderr}", output.exit));
    Err(Failure { code, msg: field("msg"), details: field("details") })
}

/// Makes an empty sandbox.
///
/// # Errors
/// When the VM cannot.
pub async fn sandbox(lab: &Lab, vm: &str, name: &str) -> Result<(), LabError> {
    lab.vm(vm)?.client().await?.add_namespace(name).await?;
    Ok(())
}

/// Takes a sandbox away, whatever is in it.
///
/// # Errors
/// When the VM cannot.
pub async fn drop_sandbox(lab: &Lab, vm: &str, name: &str) -> Result<(), LabError> {
    Ok(lab.vm(vm)?.client().await?.remove_namespace(name).await?)
}
