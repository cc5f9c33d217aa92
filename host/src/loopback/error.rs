//! What can go wrong with loopback groups.

use crate::ebpf::EbpfError;
use nestless_support::hook::Other;
use std::io;

/// A failure of a loopback group's set-up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoopbackError {
    /// Programs, filters or tables.
    #[error(transparent)]
    Ebpf(#[from] EbpfError),
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

impl LoopbackError {
    /// Whose programs are asked before ours, if that is the failure.
    pub(crate) fn overtaken_by(&self) -> Option<&[Other]> {
        match self {
            Self::Ebpf(error) => error.overtaken_by(),
            _ => None,
        }
    }
}
