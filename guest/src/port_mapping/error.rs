//! Why a port cannot be mapped.

use nestless_support::sysctl::SysctlError;

/// What `nft` said against it.
#[derive(Debug, thiserror::Error)]
#[error("nft: {words}")]
pub struct Complaint {
    pub(super) words: String,
}

/// A port cannot be mapped.
#[derive(Debug, thiserror::Error)]
pub enum PortMappingError {
    /// There is no `nft`.
    #[error("`nft` is not installed in this VM, and hostPort needs it: install the package nftables")]
    Missing {
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be run.
    #[error("run `nft`")]
    Run {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It refused.
    #[error("change the nftables table \"inet nestless\"")]
    Nft {
        /// In its own words.
        #[source]
        source: Complaint,
    },
    /// Its listing makes no sense.
    #[error("read what `nft --json list ruleset` prints")]
    Listing {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The VM does not forward.
    #[error("let the VM forward packets to its pods")]
    Forwarding {
        /// Why not.
        #[source]
        source: SysctlError,
    },
}
