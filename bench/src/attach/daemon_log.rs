//! What nestlessd logs of its own part in an attach.

use anyhow::Context as _;
use nestless_lab::{Lab, LabBuilder};
use nestless_support::telemetry::{FILTER_VARIABLE, FORMAT_VARIABLE};
use serde::Deserialize;
use std::{path::PathBuf, time::Duration};

/// The log of a lab's nestlessd, one JSON object a line.
pub(super) struct DaemonLog(PathBuf);

/// The line of a served ADD.
#[derive(Deserialize)]
struct Attached {
    message: String,
    warm: bool,
    took_us: u64,
}

impl DaemonLog {
    /// Has the lab's nestlessd write what is read here.
    pub(super) fn written_by(builder: LabBuilder) -> LabBuilder {
        builder.daemon_env(FORMAT_VARIABLE, "json").daemon_env(FILTER_VARIABLE, "info")
    }

    pub(super) fn of(lab: &Lab) -> Self {
        Self(lab.daemon_log())
    }

    /// How long nestlessd had the last cold attach in hand: from the guest's request to the answer, QEMU's part included.
    pub(super) fn last_cold_attach(&self) -> anyhow::Result<Duration> {
        let text = std::fs::read_to_string(&self.0).with_context(|| format!("read {}", self.0.display()))?;
        last_cold_attach(&text).context("nestlessd has logged no cold attach")
    }
}

fn last_cold_attach(log: &str) -> Option<Duration> {
    let attached = |line| serde_json::from_str::<Attached>(line).ok();
    log.lines()
        .rev()
        .filter_map(attached)
        .find(|attached| attached.message == "attached" && !attached.warm)
        .map(|attached| Duration::from_micros(attached.took_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cold_one_counts() {
        let log = r#"{"level":"INFO","message":"attached","nic":"nic 1","warm":false,"took_us":11}
{"level":"INFO","message":"attached","nic":"nic 2","warm":false,"took_us":22}
{"level":"INFO","message":"attached","nic":"nic 3","warm":true,"took_us":33}
{"level":"INFO","message":"detached"}
words
"#;
        assert_eq!(last_cold_attach(log), Some(Duration::from_micros(22)));
        assert_eq!(last_cold_attach("words"), None);
    }
}
