//! Runs `nft`, and keeps what it says when it refuses. (The crate nftables, as of 0.6.3, leaves the standard error of a
//! ruleset that is applied to this process's own.)

use super::error::{Complaint, PortMappingError};
use std::{
    io::{self, Write as _},
    process::{Command, Output, Stdio},
};

/// How much of it is repeated: it may quote a whole ruleset.
const MAX_WORDS_CHARS: usize = 400;

/// The rulesets of family inet, in JSON.
pub(super) fn list() -> Result<Vec<u8>, PortMappingError> {
    finished(run(&["--json", "--numeric", "--handle", "list", "ruleset", "inet"], &[])?)
}

/// All rulesets, as people read them: what iptables put there is not said in JSON.
pub(super) fn list_in_words() -> Result<String, PortMappingError> {
    let words = finished(run(&["--numeric", "--stateless", "list", "ruleset"], &[])?)?;
    Ok(String::from_utf8_lossy(&words).into_owned())
}

/// Applies commands in JSON: all or none.
pub(super) fn apply(commands: &[u8]) -> Result<(), PortMappingError> {
    finished(run(&["--json", "--file", "-"], commands)?).map(drop)
}

fn run(arguments: &[&str], input: &[u8]) -> Result<Output, PortMappingError> {
    let mut command = Command::new("nft");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => PortMappingError::Missing { source },
        _ => PortMappingError::Run { source },
    })?;
    // It reads everything before it answers. One that does not care to has a reason, and tells it.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().map_err(|source| PortMappingError::Run { source })?;
    match written {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => Err(PortMappingError::Run { source }),
        _ => Ok(output),
    }
}

fn finished(output: Output) -> Result<Vec<u8>, PortMappingError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = words(&output.stderr);
    let words = if words.is_empty() { output.status.to_string() } else { words };
    Err(PortMappingError::Nft { source: Complaint { words } })
}

/// In one line, cut where it grows long.
fn words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let printable = line.chars().filter(|letter| !letter.is_control());
    if line.chars().count() <= MAX_WORDS_CHARS {
        return printable.collect();
    }
    printable.take(MAX_WORDS_CHARS).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_bounded_line() {
        assert_eq!(words(b"Error: no\n  such \x1b[1mfile\n^^^^\n"), "Error: no such [1mfile ^^^^");
        assert_eq!(words("\u{e4}".repeat(5000).as_bytes()).chars().count(), MAX_WORDS_CHARS + 3);
    }
}
