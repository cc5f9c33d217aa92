//! What goes to stdout, and the tables in it.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;
use std::io::{ErrorKind, Write as _};

/// Writes an answer. A reader that has seen enough (`nestless status | head -1`) is no error.
///
/// # Errors
/// When stdout cannot be written for another reason.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Indented JSON and a line feed.
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn print_json(answer: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(answer)?))
}

/// A table without lines, so that `awk` reads it as well as a person does.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table
}

/// The table's text without the blanks that pad its first and last column.
pub(crate) fn render(table: &Table) -> String {
    // One blank only: a cell of several lines has blank ones beside it.
    let unpadded = |line: String| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned();
    table.lines().map(|line| unpadded(line) + "\n").collect()
}
