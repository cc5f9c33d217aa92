//! What a report looks like: tables on a terminal and in Markdown, and pages for a browser with tables and charts. Knows
//! nothing of what is reported.
//!
//! ```text
//! table (terminal, Markdown) ─┐
//! document (sections, charts) ┴─> html (style, script and figures in one file, nothing from outside)
//! ```

mod document;
mod html;
pub mod markdown;
mod table;

pub use document::{Document, Interval, Part, Samples, Section};
pub use html::Page;
pub use table::{Column, Table, left, or_dash, right};
