//! The shared libraries that a host's program needs, so that it runs in a guest too.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// What kept the libraries from being listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// No `ldd`.
    #[error("run ldd on {program}")]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A library is not installed.
    #[error("{program} does not run on this host either: {line}")]
    NotFound {
        /// The program.
        program: PathBuf,
        /// What ldd said.
        line: String,
    },
}

/// Every library that `program` loads, the loader included. Empty for a static program.
///
/// # Errors
/// When ldd cannot be run, or a library is missing.
pub(crate) fn of(program: &Path) -> Result<BTreeSet<PathBuf>, LibraryError> {
    of_all(&[program.to_owned()])
}

/// Every library that any of `programs` loads. An error names the first of them.
///
/// # Errors
/// As [`of`].
pub(crate) fn of_all(programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>, LibraryError> {
    let Some(first) = programs.first() else { return Ok(BTreeSet::new()) };
    let output = Command::new("ldd")
        .args(programs)
        .output()
        .map_err(|source| LibraryError::Run { program: first.clone(), source })?;
    // ldd fails on a static program and on a script; neither has libraries.
    parse(&String::from_utf8_lossy(&output.stdout))
        .map_err(|line| LibraryError::NotFound { program: first.clone(), line })
}

/// Of several programs, each is named on a line that ends with a colon. Other lines are `libc.so.6 => /lib/libc.so.6 (0x..)`, `/lib64/ld-linux-x86-64.so.2 (0x..)` or `linux-vdso.so.1 (0x..)`.
fn parse(text: &str) -> Result<BTreeSet<PathBuf>, String> {
    let mut libraries = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if line.ends_with("=> not found") {
            return Err(line.to_owned());
        }
        if line.ends_with(':') {
            continue;
        }
        let place = line.split_once("=> ").map_or(line, |(_, place)| place);
        if let Some(path) = place.split(" (").next().filter(|p| p.starts_with('/')) {
            libraries.insert(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_kind_of_line() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f1)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n";
        let found: Vec<_> = parse(text).unwrap().into_iter().collect();
        assert_eq!(
            found,
            ["/lib/x86_64-linux-gnu/libmnl.so.0", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from)
        );
        assert_eq!(parse(&format!("/usr/bin/ip:\n{text}")).unwrap().len(), 2);
        assert_eq!(parse("\tstatically linked\n").unwrap().len(), 0);
        assert!(parse("\tlibx.so => not found\n").unwrap_err().contains("libx.so"));
    }
}
