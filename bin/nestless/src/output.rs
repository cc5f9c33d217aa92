//! What goes to stdout and to files.

use anyhow::Context as _;
use nestless_support::visible;
use serde::Serialize;
use std::{
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

/// Writes an answer, all of it visible: names in it may come from guests. A reader that has seen enough (`nestless status | head -1`) is no error.
///
/// # Errors
/// When stdout cannot be written for another reason.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(visible::in_text(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Indented JSON and a line feed.
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn print_json(answer: &impl Serialize) -> anyhow::Result<()> {
    print(&json(answer)?)
}

/// The same as text.
///
/// # Errors
/// When the answer has what JSON has not.
pub(crate) fn json(answer: &impl Serialize) -> anyhow::Result<String> {
    Ok(format!("{}\n", visible::in_json(&serde_json::to_string_pretty(answer)?)))
}

/// A file on the command line that will be written: what cannot be is told before the work, not after it.
pub(crate) fn destination(file: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(file);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        return Err("it is a folder: name a file in it".to_owned());
    }
    if !folder.is_dir() {
        return Err(format!("there is no folder {}: make it, or name another one", folder.display()));
    }
    let (place, what) = if path.exists() { (path.as_path(), "file") } else { (folder, "folder") };
    nix::unistd::access(place, nix::unistd::AccessFlags::W_OK)
        .map_err(|errno| format!("the {what} {} cannot be written: {}", place.display(), errno.desc()))?;
    Ok(path)
}

/// Writes a file, over one that is there.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_is_told_early() {
        assert_eq!(destination("-").unwrap(), Path::new("-"));
        assert_eq!(destination("report.json").unwrap(), Path::new("report.json"));
        assert_eq!(destination("src/report.json").unwrap(), Path::new("src/report.json"));
        assert!(
            destination("/nowhere/at/all/report.json").unwrap_err().contains("no folder /nowhere/at/all")
        );
        assert!(destination("src").unwrap_err().contains("is a folder"));
    }
}
