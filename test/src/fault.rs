//! A nestlessd that can be killed at any named step: told by a file where to die.

use nestless_lab::LabBuilder;
use std::path::PathBuf;

/// Where the daemon is told to die, and where it tells which steps it took.
pub struct Faults {
    folder: tempfile::TempDir,
}

impl Faults {
    /// Nothing is counted yet.
    ///
    /// # Panics
    /// When there is no place for temporary files, or this build's nestlessd has no steps to die at.
    pub fn new() -> Self {
        if !cfg!(debug_assertions) {
            panic!("nestlessd has crash points with debug assertions only: run this without --release");
        }
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A lab whose daemon listens to this.
    pub fn listened_to_by(&self, lab: LabBuilder) -> LabBuilder {
        lab.daemon_env("NESTLESS_CRASH_CONTROL", self.control().display().to_string())
            .daemon_env("NESTLESS_CRASH_TRACE", self.trace().display().to_string())
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    fn trace(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// From now on steps are counted.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn begin(&self) {
        let _ = std::fs::remove_file(self.trace());
        self.arm("nowhere");
    }

    /// From now on steps are counted, and the daemon dies at `place`.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn arm(&self, place: &str) {
        // Renamed, so that the daemon never reads half a name.
        let partial = self.folder.path().join("partial");
        std::fs::write(&partial, place).expect("the folder can be written");
        std::fs::rename(&partial, self.control()).expect("the folder can be written");
    }

    /// Steps are no longer counted. Returns those taken since [`Faults::begin`], in order.
    pub fn end(&self) -> Vec<String> {
        let _ = std::fs::remove_file(self.control());
        let trace = std::fs::read_to_string(self.trace()).unwrap_or_default();
        trace.lines().map(str::to_owned).collect()
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}
