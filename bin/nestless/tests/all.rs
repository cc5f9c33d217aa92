//! The command, as its user runs it.

mod bench;
mod plan;
