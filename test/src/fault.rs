//! A nestlessd that can be killed at any named step: built on demand, told by a file where to die.

use nestless_lab::LabBuilder;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Builds nestlessd with the feature `crash-points`, into a target directory of its own so that the ordinary one is never
/// replaced by it. `NESTLESS_FAULT_DAEMON=PATH` names one that is built already.
///
/// # Panics
/// When it cannot be built.
pub fn daemon() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| std::env::var_os("NESTLESS_FAULT_DAEMON").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "-p", "nestlessd", "--features", "crash-points"]);
    cargo.args(["--target-dir", "target/faults", "--message-format", "json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.stderr(std::process::Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "{cargo:?}: {}", output.status);
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let built = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = built.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.find(|path| path.ends_with("nestlessd")).expect("cargo tells what it has built")
}

/// Where the daemon is told to die, and where it tells which steps it took.
pub struct Faults {
    folder: tempfile::TempDir,
}

impl Faults {
    /// Nothing is counted yet.
    ///
    /// # Panics
    /// When there is no place for temporary files.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A lab whose daemon listens to this.
    pub fn listened_to_by(&self, lab: LabBuilder) -> LabBuilder {
        lab.daemon_program(daemon())
            .daemon_env("NESTLESS_CRASH_CONTROL", self.control().display().to_string())
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
