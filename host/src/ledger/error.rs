//! Why the ledger could not be read or written.

use nestless_model::identity::NicId;
use std::path::PathBuf;

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are the objects named in each message")]
pub enum LedgerError {
    /// Its folder could not be made.
    #[error("make folder {} for the ledger", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// It could not be opened.
    #[error("open ledger {} (is another nestlessd running with this state_dir?)", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: Box<redb::DatabaseError>,
    },
    /// A daemon of another version wrote it.
    #[error("ledger {} has layout {found}, and this daemon reads {known}: run the daemon that wrote it, or drain the VMs and remove it", path.display())]
    Layout { path: PathBuf, found: u64, known: u64 },
    /// Reading failed.
    #[error("read ledger {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: Box<redb::Error>,
    },
    /// A record is not one.
    #[error("record of {nic} in ledger {}", path.display())]
    Record {
        path: PathBuf,
        nic: NicId,
        #[source]
        source: serde_json::Error,
    },
    /// A reservation is not one.
    #[error("reservation {key:?} in ledger {}", path.display())]
    Reservation {
        path: PathBuf,
        key: String,
        #[source]
        source: serde_json::Error,
    },
    /// Writing failed.
    #[error("write ledger {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: Box<redb::Error>,
    },
}
