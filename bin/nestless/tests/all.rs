//! The command, as its user runs it.

mod bench;
mod compare;
mod live;
mod plan;
