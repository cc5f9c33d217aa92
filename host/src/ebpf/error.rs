//! What can go wrong with programs and tables in the kernel.

use nestless_model::identity::LinkName;
use nestless_support::hook::Other;
use std::{error::Error, io, path::PathBuf};

type Cause = Box<dyn Error + Send + Sync>;

/// The kernel, or its eBPF file system, refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EbpfError {
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
    #[error("load the programs of the {object} (Linux 6.1 or later is needed)")]
    Load {
        /// "guard" or "reflector".
        object: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
    /// There is no such link in this network namespace.
    #[error("no link {link} {purpose}")]
    NoLink {
        /// The link.
        link: LinkName,
        /// "to guard" or "to join to a loopback group".
        purpose: &'static str,
        /// The failed look-up.
        #[source]
        source: io::Error,
    },
    /// A filter could not be put on the link.
    #[error("attach the {object} to {link}")]
    Attach {
        /// "guard" or "reflector".
        object: &'static str,
        /// The link.
        link: LinkName,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Another's program is asked before ours, and may keep it from being asked.
    #[error(
        "on {link} {} before the {object}: the port stays closed until that is gone (bpftool net show; bpftool net detach), or is attached after it",
        by.iter().map(|other| format!("{other} stands")).collect::<Vec<_>>().join(", ")
    )]
    Overtaken {
        /// "guard" or "reflector".
        object: &'static str,
        /// The link.
        link: LinkName,
        /// All of them.
        by: Vec<Other>,
    },
    /// The link's filters could not be read or removed.
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
    #[error("{operation} the {object}'s table of {table}{}", row.map(|ifindex| format!(" for link {ifindex}")).unwrap_or_default())]
    Table {
        /// "read" or "write".
        operation: &'static str,
        /// "guard" or "reflector".
        object: &'static str,
        /// "entries", "groups", ...
        table: &'static str,
        /// The index of the link whose row it is.
        row: Option<u32>,
        /// Why.
        #[source]
        source: Cause,
    },
}

impl EbpfError {
    /// Whose programs are asked before ours, if that is the failure.
    pub(crate) fn overtaken_by(&self) -> Option<&[Other]> {
        match self {
            Self::Overtaken { by, .. } => Some(by),
            _ => None,
        }
    }

    /// Loading's failure; a refusal for want of rights anywhere in its causes says so.
    pub(crate) fn load(object: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&source);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if kind == Some(io::ErrorKind::PermissionDenied) {
                return Self::NotPermitted { source: Box::new(source) };
            }
            cause = error.source();
        }
        Self::Load { object, source: Box::new(source) }
    }
}
