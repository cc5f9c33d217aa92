//! What can go wrong with loopback groups.

use crate::pins::PinError;
use nestless_model::identity::LinkName;
use std::io;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of a loopback group's set-up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoopbackError {
    /// There is no such link in this network namespace.
    #[error("no link {link} to join to a loopback group")]
    NoLink {
        /// The link.
        link: LinkName,
        /// The failed look-up.
        #[source]
        source: io::Error,
    },
    /// The program or its tables could not be loaded, taken up, or removed.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// The filter could not be put on the link.
    #[error("attach the reflector to {link}")]
    Attach {
        /// The link.
        link: LinkName,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The link's filters could not be read.
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
    #[error("{operation} the reflector's table of {table}")]
    Table {
        /// "read" or "write".
        operation: &'static str,
        /// "groups", "endpoints", "flows", "fragments" or "counters".
        table: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A table holds no more. Nothing was changed.
    #[error(
        "the reflector's table of {table} is full, with {most} rows (MAX_GROUPS and MAX_ENDPOINTS at build time): let others leave first"
    )]
    NoRoom {
        /// "groups" or "endpoints".
        table: &'static str,
        /// So many it can hold.
        most: u32,
    },
    /// An endpoint that stays could not be told that another left.
    #[error("tell the endpoint at link {ifindex} that another left")]
    Tell {
        /// Its host end's index.
        ifindex: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
}
