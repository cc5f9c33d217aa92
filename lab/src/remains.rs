//! What of a lab is on this machine, found by its name alone: the proof that one which is gone has left nothing.

use crate::names::{LABS, NAMESPACES};
use std::{collections::BTreeSet, fs, io};

/// Where an entry may have a lab's name in its own.
const FOLDERS: [&str; 3] = [NAMESPACES, LABS, "/sys/fs/bpf/nestless"];

/// Everything that carries the name `lab`: namespaces, files, pins, mounts, and processes that were told a path of it.
///
/// # Errors
/// When /proc cannot be read.
pub fn remains(lab: &str) -> io::Result<BTreeSet<String>> {
    let entries = FOLDERS.iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    let mut found: BTreeSet<String> =
        entries.map(|entry| entry.path().display().to_string()).filter(|path| path.contains(lab)).collect();
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    found.extend(mounts.lines().filter(|line| line.contains(lab)).map(str::to_owned));
    let (own, told) = (std::process::id().to_string(), format!("{LABS}/{lab}"));
    for process in fs::read_dir("/proc")?.flatten() {
        // One that has just ended has none.
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&told) && process.file_name() != own.as_str() {
            found.insert(format!("process {}", process.file_name().to_string_lossy()));
        }
    }
    Ok(found)
}
