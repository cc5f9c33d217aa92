//! Traces from their publishers: resumed where a download broke off, and used only when their SHA-256 is right.

mod dataset;
mod download;

pub use dataset::{Dataset, checksums};
pub use download::{Fetched, Remote, download, text};

use std::io;
use std::path::PathBuf;

/// Why a file could not be fetched. What came so far is kept beside it, as `<name>.part`, unless it is wrong.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error("ask for {url}; is there a network, and does it need a proxy (HTTPS_PROXY)?")]
    Ask {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// An answer that is not the file.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The answer broke off.
    #[error("{url} broke off after {bytes} bytes; run it again to go on from there")]
    BrokeOff {
        /// What was asked for.
        url: String,
        /// On disk now.
        bytes: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not the bytes the publisher names. They are removed.
    #[error(
        "{url} is not the file it should be: its SHA-256 is {found}, wanted is {wanted}; nothing was kept"
    )]
    WrongHash {
        /// What was asked for.
        url: String,
        /// Of what came.
        found: String,
        /// Of the right file.
        wanted: String,
    },
    /// The publisher's list of hashes has no such file.
    #[error("the list of hashes at {url} does not name {file}")]
    NoHash {
        /// The list.
        url: String,
        /// The file.
        file: String,
    },
}
