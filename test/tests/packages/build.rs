//! The packages, made of the programs that are tested.

use nestless_lab::image::{Program, Programs};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Two files: nestless-host and nestless-guest.
pub(super) struct Packages {
    /// Name and content.
    pub(super) files: Vec<(String, Vec<u8>)>,
}

impl Packages {
    pub(super) fn build(version: &str) -> Self {
        let output = tempfile::tempdir().unwrap();
        let nestless = Programs::locate().find(Program::Nestless).unwrap();
        let made = Command::new(format!("{ROOT}/scripts/package"))
            .args(["--version", version, "--without-tar"])
            .arg("--programs")
            .arg(nestless.parent().unwrap())
            .arg("--output")
            .arg(output.path())
            // They are used once.
            .envs([("DPKG_DEB_COMPRESSOR_TYPE", "gzip"), ("DPKG_DEB_COMPRESSOR_LEVEL", "1")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let files = ["host", "guest"].map(|side| {
            let name = format!("nestless-{side}_{version}_amd64.deb");
            let content = std::fs::read(output.path().join(&name)).unwrap();
            (name, content)
        });
        Self { files: files.into() }
    }
}
