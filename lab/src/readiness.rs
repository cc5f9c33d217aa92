//! The moment at which a daemon says that it is ready, as sd_notify(3) has it.

use crate::names::absent_is_fine;
use std::{io, path::PathBuf};
use tokio::{net::UnixDatagram, process::Command};

/// A socket on which one daemon tells it.
#[derive(Debug)]
pub struct Readiness {
    listener: UnixDatagram,
    path: PathBuf,
}

impl Readiness {
    /// Listens at `path`, where an earlier one may have been left.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn listen(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        absent_is_fine(std::fs::remove_file(&path))?;
        Ok(Self { listener: UnixDatagram::bind(&path)?, path })
    }

    /// Has the daemon that `command` starts tell it here.
    pub fn of(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", &self.path);
    }

    /// Waits for it, even beyond the daemon's end: that is to be watched beside.
    ///
    /// # Errors
    /// When the socket breaks.
    pub async fn told(&self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let length = self.listener.recv(&mut buffer).await?;
            if buffer[..length].split(|&b| b == b'\n').any(|line| line == b"READY=1") {
                return Ok(());
            }
        }
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        // Nobody but the next one, which replaces it, would find it.
        let _ = std::fs::remove_file(&self.path);
    }
}
