//! Where a log can be read, as an error tells it.

use std::{fmt, path::PathBuf};

/// A log, while it is where it was written, or kept; nowhere, when it went with its lab.
#[derive(Clone, Debug, Default)]
pub struct Log(pub Option<PathBuf>);

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => write!(f, " in {}", path.display()),
            None => Ok(()),
        }
    }
}
