//! What can go wrong with the guard.

use super::entry::RulesError;
use crate::ebpf::EbpfError;
use nestless_model::identity::LinkName;
use nestless_support::hook::Other;

/// A failure of the guard. Whatever it is, no link was left more open than it had been.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Programs, filters or tables.
    #[error(transparent)]
    Ebpf(#[from] EbpfError),
    /// The rules cannot be kept.
    #[error("guard rules for {link}")]
    Rules {
        /// The link.
        link: LinkName,
        /// Why.
        #[source]
        source: RulesError,
    },
    /// The filter is not where it was just put: another process changes the link, or it was replaced by another.
    #[error(
        "the guard is not on {link} although it was just attached: does another process change its filters?"
    )]
    NotAttached {
        /// The link.
        link: LinkName,
    },
}

impl GuardError {
    /// Whose programs are asked before ours, if that is the failure.
    pub(crate) fn overtaken_by(&self) -> Option<&[Other]> {
        match self {
            Self::Ebpf(error) => error.overtaken_by(),
            _ => None,
        }
    }
}
