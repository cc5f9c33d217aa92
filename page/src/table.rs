//! A table: on a terminal without lines, so that `awk` reads it as well as a person does, and in Markdown.

use crate::markdown::escaped;
use nestless_support::visible;
use serde::Serialize;

/// Between two columns.
const GAP: &str = "  ";

/// A title and rows of text. A cell may have several lines.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// A column's title, and where its cells stand.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    title: String,
    #[serde(skip)]
    right: bool,
    #[serde(skip)]
    least_width: usize,
}

/// A column of words.
pub fn left(title: impl Into<String>) -> Column {
    Column { title: title.into(), right: false, least_width: 0 }
}

/// A column of figures.
pub fn right(title: impl Into<String>) -> Column {
    Column { title: title.into(), right: true, least_width: 0 }
}

impl Column {
    /// Not narrower than so many letters, on a terminal.
    #[must_use]
    pub fn at_least(self, letters: usize) -> Self {
        Self { least_width: letters, ..self }
    }
}

impl From<&str> for Column {
    fn from(title: &str) -> Self {
        left(title)
    }
}

impl Table {
    /// Without rows yet.
    pub fn new<C: Into<Column>>(columns: impl IntoIterator<Item = C>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub fn add_row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For a terminal: columns as wide as what is in them. Cells come from elsewhere, and none may steer the terminal or hide
    /// anything.
    pub fn terminal(&self) -> String {
        let titles: Vec<_> = self.columns.iter().map(|column| column.title.clone()).collect();
        let rows: Vec<Vec<Vec<String>>> = std::iter::once(&titles)
            .chain(&self.rows)
            .map(|row| row.iter().map(|cell| cell.split('\n').map(printable).collect()).collect())
            .collect();
        let widths = self.columns.iter().enumerate().map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            let widest = cells.flatten().map(|line| line.chars().count()).max();
            column.least_width.max(widest.unwrap_or_default())
        });
        let widths: Vec<usize> = widths.collect();
        let mut text = String::new();
        for row in &rows {
            for line in 0..row.iter().map(Vec::len).max().unwrap_or_default() {
                let cells = self.columns.iter().zip(&widths).enumerate().map(|(index, (column, &width))| {
                    let cell = row.get(index).and_then(|cell| cell.get(line)).map_or("", String::as_str);
                    if column.right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                });
                text.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
                text.push('\n');
            }
        }
        text
    }

    /// For Markdown. Whatever is in a cell stays in it.
    pub fn markdown(&self) -> String {
        let row = |cells: &mut dyn Iterator<Item = &str>| {
            let cells =
                cells.map(|cell| if cell.is_empty() { " ".into() } else { format!(" {} ", escaped(cell)) });
            format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
        };
        let mut text = row(&mut self.columns.iter().map(|column| column.title.as_str()));
        let rules = self.columns.iter().map(|column| if column.right { "---:" } else { "---" });
        text.push_str(&format!("|{}|\n", rules.collect::<Vec<_>>().join("|")));
        text.extend(self.rows.iter().map(|cells| row(&mut cells.iter().map(String::as_str))));
        text
    }
}

/// What a cell has in the place of nothing.
pub fn or_dash(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { "-".to_owned() } else { text }
}

fn printable(line: &str) -> String {
    visible::in_text(&line.replace('\t', " ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new([left("VM"), right("NICs"), left("NOTE")]);
        table.add_row(["vm1", "12", "first"]);
        table.add_row(["database", "3", ""]);
        assert_eq!(table.terminal(), "VM        NICs  NOTE\nvm1         12  first\ndatabase     3\n");
        assert!(!table.is_empty());
        assert_eq!(Table::new(["VM", "NICs"]).terminal(), "VM  NICs\n");
        assert_eq!(Table::new([left("VM").at_least(4), right("NICs")]).terminal(), "VM    NICs\n");
    }

    #[test]
    fn the_lines_of_a_cell_stand_below_each_other() {
        let mut table = Table::new(["SIDE", "RATIO"]);
        table.add_row(["hostlo", "1.0 of nic\n0.5 of nat"]);
        assert_eq!(table.terminal(), "SIDE    RATIO\nhostlo  1.0 of nic\n        0.5 of nat\n");
    }

    #[test]
    fn no_cell_steers_the_terminal() {
        let mut table = Table::new(["POD", "VM"]);
        table.add_row(["\u{1b}[2Jweb", "vm1"]);
        table.add_row(["w\u{202e}eb", "vm2"]);
        assert_eq!(table.terminal(), "POD           VM\n\\u{1b}[2Jweb  vm1\nw\\u{202e}eb   vm2\n");
    }

    #[test]
    fn markdown_keeps_cells_apart() {
        let mut table = Table::new([left(""), right("an hour")]);
        table.add_row(["a|b<i>", "$1.00"]);
        assert_eq!(table.markdown(), "| | an hour |\n|---|---:|\n| a\\|b&lt;i&gt; | $1.00 |\n");
    }
}
