//! What can go wrong with the guard.

use super::entry::RulesError;
use crate::pins::PinError;
use nestless_model::identity::LinkName;
use std::io;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the guard. Whatever it is, no link was left more open than it had been.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The programs or tables could not be loaded, taken up, or removed.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// The rules cannot be kept.
    #[error("guard rules for {link}")]
    Rules {
        /// The link.
        link: LinkName,
        /// Why.
        #[source]
        source: RulesError,
    },
    /// There is no such link in this network namespace.
    #[error("no link {link} to guard")]
    NoLink {
        /// The link.
        link: LinkName,
        /// The failed look-up.
        #[source]
        source: io::Error,
    },
    /// A filter could not be put on the link.
    #[error("attach the guard to {link}")]
    Attach {
        /// The link.
        link: LinkName,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The filter is not where it was just put: another process changes the link, or it was replaced by another.
    #[error(
        "the guard is not on {link} although it was just attached: does another process change its filters?"
    )]
    NotAttached {
        /// The link.
        link: LinkName,
    },
    /// The links' filters could not be read.
    #[error("read the filters of link {ifindex}")]
    Filters {
        /// Its index.
        ifindex: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The namespace's links could not be listed.
    #[error("list the links of this network namespace")]
    Links {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A table could not be read or written.
    #[error("{operation} the guard's table of {table} for link {ifindex}")]
    Table {
        /// "read" or "write".
        operation: &'static str,
        /// "entries", "buckets", "counters" or "generations".
        table: &'static str,
        /// The link's index; 0 when it is about all of them.
        ifindex: u32,
        /// Why.
        #[source]
        source: aya::maps::MapError,
    },
}
