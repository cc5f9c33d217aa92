//! Signals that end a command which has something to remove first.

use anyhow::Context as _;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Watches for Ctrl-C, SIGTERM and SIGHUP. From its making on they do not end the process by themselves.
pub(crate) struct Shutdown {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Shutdown {
    /// Begins to watch: before anything is made, so that no early signal goes past the clean-up.
    pub(crate) fn watch() -> anyhow::Result<Self> {
        let watch = |kind, name| signal(kind).with_context(|| format!("watch for {name}"));
        Ok(Self {
            interrupt: watch(SignalKind::interrupt(), "Ctrl-C")?,
            terminate: watch(SignalKind::terminate(), "SIGTERM")?,
            hang_up: watch(SignalKind::hangup(), "SIGHUP")?,
        })
    }

    /// Until one comes.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }

    /// As shells report a command that Ctrl-C ended.
    pub(crate) fn exit_code() -> ExitCode {
        ExitCode::from(130)
    }
}
