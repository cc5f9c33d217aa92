//! What the plugin leaves behind for an agent that does not run: an attachment that is over.
//!
//! A note is a file of its own beside the agent's socket. The plugin writes it before it calls for the agent a last time, and
//! the agent listens before it reads: none is written too late to be read.

use crate::identity::AttachmentId;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One attachment that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub attachment: AttachmentId,
    /// Where it was, as the runtime said it.
    #[serde(default)]
    pub sandbox: Option<String>,
}

impl Ended {
    /// Where the notes for the agent behind that socket are.
    pub fn directory(agent_socket: &Path) -> PathBuf {
        agent_socket.with_file_name("ended")
    }

    /// Its file there.
    pub fn file_name(&self) -> String {
        format!("{:016x}.json", self.attachment.digest())
    }
}
