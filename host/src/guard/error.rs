//! What can go wrong with the guard.

use super::entry::RulesError;
use nestless_model::identity::LinkName;
use std::{io, path::PathBuf};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the guard. Whatever it is, no link was left more open than it had been.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The kernel refuses eBPF to this process.
    #[error(
        "no permission to load eBPF programs: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN (the last mounts /sys/fs/bpf)"
    )]
    NotPermitted {
        /// The kernel's refusal.
        #[source]
        source: Cause,
    },
    /// There is no file system to pin in.
    #[error(
        "no eBPF file system for {path}: mount one (mount -t bpf bpf /sys/fs/bpf); the kernel needs CONFIG_BPF_SYSCALL"
    )]
    FileSystem {
        /// Where pins should go.
        path: PathBuf,
        /// The failed call.
        #[source]
        source: io::Error,
    },
    /// A pin's file or directory could not be made, read or removed.
    #[error("pin at {path}")]
    Pin {
        /// The pin.
        path: PathBuf,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The kernel did not take the programs.
    #[error("load the guard's programs (Linux 6.1 or later is needed)")]
    Load {
        /// Why.
        #[source]
        source: Cause,
    },
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

impl GuardError {
    /// Loading's failure; a refusal for want of rights anywhere in its causes says so.
    pub(super) fn load(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&source);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if kind == Some(io::ErrorKind::PermissionDenied) {
                return Self::NotPermitted { source: Box::new(source) };
            }
            cause = error.source();
        }
        Self::Load { source: Box::new(source) }
    }
}
