//! What can go wrong with loopback groups.

use nestless_model::{
    identity::LinkName,
    loopback::{GroupId, MAX_FRACTIONS},
};
use std::{io, path::PathBuf};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of a loopback group's set-up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoopbackError {
    /// No place is free. Nothing was changed.
    #[error(
        "{group} has {MAX_FRACTIONS} fractions already, which is the most (MAX_FRACTIONS and REFLECTOR_FRACTIONS at build time): let one leave first"
    )]
    Full {
        /// Which.
        group: GroupId,
    },
    /// The link is an endpoint of another group. Nothing was changed.
    #[error("{link} is an endpoint of {group}: let it leave that one first")]
    Elsewhere {
        /// The link.
        link: LinkName,
        /// Where it is.
        group: GroupId,
    },
    /// There is no such link in this network namespace.
    #[error("no link {link} to join to a loopback group")]
    NoLink {
        /// The link.
        link: LinkName,
        /// The failed look-up.
        #[source]
        source: io::Error,
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
    /// The kernel did not take the program.
    #[error("load the reflector (Linux 6.1 or later, and CAP_BPF and CAP_NET_ADMIN, are needed)")]
    Load {
        /// Why.
        #[source]
        source: Cause,
    },
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

impl LoopbackError {
    pub(super) fn load(source: impl Into<Cause>) -> Self {
        Self::Load { source: source.into() }
    }
}
