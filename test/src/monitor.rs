//! QEMU's monitor beside the daemon's own: what QEMU itself says, and what a person could do to it.

use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// A session.
pub struct Monitor {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Monitor {
    /// Opens a session.
    ///
    /// # Panics
    /// When QEMU does not answer.
    pub async fn connect(socket: &Path) -> Self {
        let (reader, writer) = UnixStream::connect(socket).await.expect("QEMU listens").into_split();
        let mut monitor = Self { lines: BufReader::new(reader).lines(), writer };
        monitor.read().await;
        monitor.execute("qmp_capabilities", json!({})).await;
        monitor
    }

    async fn read(&mut self) -> Value {
        let line = self.lines.next_line().await.expect("QEMU speaks").expect("QEMU lives");
        serde_json::from_str(&line).expect("QMP is JSON")
    }

    /// Runs a command that must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn execute(&mut self, command: &str, arguments: Value) -> Value {
        let text = json!({ "execute": command, "arguments": arguments }).to_string();
        self.writer.write_all(format!("{text}\n").as_bytes()).await.expect("QEMU reads");
        loop {
            let mut answer = self.read().await;
            assert!(answer.get("error").is_none(), "{command}: {answer}");
            if let Some(value) = answer.get_mut("return") {
                return value.take();
            }
        }
    }

    /// Devices that the daemon plugged.
    pub async fn our_devices(&mut self) -> BTreeSet<String> {
        self.named("/machine/peripheral").await
    }

    /// Their back ends.
    pub async fn our_backends(&mut self) -> BTreeSet<String> {
        let text = self.execute("human-monitor-command", json!({ "command-line": "info network" })).await;
        let text = text.as_str().unwrap_or_default();
        let words = text.split(|c: char| c.is_whitespace() || c == ':');
        let nets = words.filter(|word| word.strip_suffix("-net").is_some_and(is_nic));
        nets.map(str::to_owned).collect()
    }

    async fn named(&mut self, path: &str) -> BTreeSet<String> {
        let list = self.execute("qom-list", json!({ "path": path })).await;
        let names = list.as_array().into_iter().flatten().filter_map(|item| item["name"].as_str());
        names.filter(|name| is_nic(name)).map(str::to_owned).collect()
    }
}

/// Bridges that give places to NICs have names like theirs.
fn is_nic(device: &str) -> bool {
    device.strip_prefix("nestless-").is_some_and(|id| id.bytes().all(|b| b.is_ascii_hexdigit()))
}
