//! What this agent has attached, in memory and below the run directory: a restart must know it while the host is away.
//!
//! ```text
//! (none) -> Attaching -> InUse -> Detaching -> (none)
//!               '-------------------^
//! ```
//! `Detaching` lasts until the host has heard of it.

mod locks;
mod record;
mod store;

pub(crate) use locks::Locks;
pub(crate) use record::{Phase, Record};
pub(crate) use store::{Attachments, BeginError};
