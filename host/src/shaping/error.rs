//! What can go wrong with a NIC's queues.

use nestless_model::identity::LinkName;
use nestless_support::{netlink::NetlinkError, sysctl::SysctlError};
use std::io;

/// A limit cannot be kept by a queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShapingError {
    /// The second link could not be made, set up or removed.
    #[error("the queue for what {link} sends")]
    Link {
        /// The NIC's host end.
        link: LinkName,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// The second link would speak IPv6.
    #[error("switch IPv6 off on the queue for what {link} sends")]
    Silence {
        /// The NIC's host end.
        link: LinkName,
        /// Why.
        #[source]
        source: SysctlError,
    },
    /// The queueing discipline, or the filter that leads to it.
    #[error("{operation} {link} (the host's kernel needs sch_tbf, act_mirred and ifb)")]
    Queue {
        /// "limit what is received by", ...
        operation: &'static str,
        /// The NIC's host end.
        link: LinkName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Looking failed.
    #[error("look at the queues of NICs")]
    Look {
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ShapingError {
    /// The kernel was built without what this needs.
    pub fn is_unsupported(&self) -> bool {
        let errno = match self {
            Self::Link { source, .. } => source.errno(),
            Self::Queue { source, .. } => source.raw_os_error(),
            Self::Silence { .. } | Self::Look { .. } => None,
        };
        matches!(errno, Some(libc::ENOENT | libc::EOPNOTSUPP))
    }
}
