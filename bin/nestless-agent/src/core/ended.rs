//! Attachments that ended while no agent ran: the plugin left a note of each.

use super::{
    agent::Agent,
    attachments::{Phase, Record},
};
use anyhow::Context as _;
use nestless_model::cni::Ended;
use nestless_support::{error_chain::in_full, telemetry::TraceParent};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Between two attempts to take away what could not be.
const PAUSE: Duration = Duration::from_secs(5);

impl Agent {
    /// Takes away what the notes in `directory` tell of. For an agent that listens already, or a note might come too late;
    /// and that does not serve yet, or a call for the same container might come too early. What cannot be taken away is
    /// tried again beside the agent's work.
    pub(crate) async fn bury_ended(self: &Arc<Self>, directory: &Path) -> anyhow::Result<()> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.with_context(|| format!("list {}", directory.display()))?,
        };
        for entry in entries {
            let path = entry.with_context(|| format!("list {}", directory.display()))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(ended) => {
                    if !self.bury_one(&ended, &path).await {
                        tokio::spawn(Arc::clone(self).bury_patiently(ended, path));
                    }
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a note of an interface that is over is unreadable; its sandbox's end will tell");
                    remove(&path);
                }
            }
        }
        Ok(())
    }

    async fn bury_patiently(self: Arc<Self>, ended: Ended, note: PathBuf) {
        loop {
            tokio::time::sleep(PAUSE).await;
            if self.bury_one(&ended, &note).await {
                return;
            }
        }
    }

    /// Whether nothing is left of it.
    async fn bury_one(&self, ended: &Ended, note: &Path) -> bool {
        let attachment = &ended.attachment;
        let _guard = self.locks.container(&attachment.container).await;
        let trace = TraceParent::root();
        let record = self.attachments.get(attachment).unwrap_or_else(|| Record {
            sandbox: ended.sandbox.clone(),
            mapped: true,
            ..Record::new(attachment.clone(), Phase::Detaching)
        });
        tracing::info!(%attachment, trace_id = trace.trace_id(), "it ended while no agent ran; detaching");
        if let Err(error) = self.release(record, None, trace).await {
            tracing::warn!(%attachment, error = in_full(&error), "it is not all gone; trying again");
            return false;
        }
        remove(note);
        true
    }
}

fn read(path: &Path) -> io::Result<Ended> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn remove(note: &Path) {
    if let Err(error) = fs::remove_file(note) {
        tracing::warn!(path = %note.display(), %error, "a note stays behind");
    }
}
