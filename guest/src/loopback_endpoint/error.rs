//! What may go wrong with a fraction's endpoint.

use crate::parking::{MoveError, TakeError};
use aya::programs::ProgramError;
use nestless_model::identity::{ENDPOINT_INTERFACE, Mac};
use nestless_support::{hook::Other, netlink::NetlinkError, netns::NamespaceError, sysctl::SysctlError};
use std::io;

/// An endpoint could not be set up, looked at or taken back.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackEndpointError {
    /// There is one. Nothing was changed.
    #[error("the sandbox has a link called {ENDPOINT_INTERFACE} already: it is in a loopback group")]
    Exists,
    /// It does not wait in the parking namespace. Nothing was changed.
    #[error("the NIC with MAC address {nic} does not wait in the parking namespace")]
    Absent {
        /// Plug-time address.
        nic: Mac,
    },
    /// It cannot be taken from the parking namespace. Nothing was changed.
    #[error("take the NIC with MAC address {nic} from the parking namespace")]
    Take {
        /// Plug-time address.
        nic: Mac,
        /// Why.
        #[source]
        source: TakeError,
    },
    /// The sandbox's links cannot be seen.
    #[error("look into the sandbox")]
    Look {
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// The kernel refused a step. All was taken back.
    #[error("configure {ENDPOINT_INTERFACE}")]
    Configure {
        /// Which step, and why.
        #[source]
        source: NetlinkError,
    },
    /// A setting of the sandbox's. All was taken back.
    #[error("set the sandbox's loopback behaviour")]
    Setting {
        /// Which, and why.
        #[source]
        source: SysctlError,
    },
    /// The kernel did not take steer. All was taken back.
    #[error("load steer (Linux 6.1 or later, and CAP_BPF and CAP_NET_ADMIN, are needed)")]
    Load {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Steer could not be put on a link, or taken off. All was taken back.
    #[error("attach steer to {link}")]
    Attach {
        /// "lo" or [`ENDPOINT_INTERFACE`].
        link: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another's program is asked before steer, and may keep it from being asked.
    #[error("at {link} {} before steer: take it away (bpftool net show; bpftool net detach)", stands(by))]
    Overtaken {
        /// "lo" or [`ENDPOINT_INTERFACE`].
        link: &'static str,
        /// All of them.
        by: Vec<Other>,
    },
    /// The endpoint's packets could not be led to `lo`. All was taken back.
    #[error(
        "have lo receive what comes by {ENDPOINT_INTERFACE} (the kernel needs act_mirred: modprobe act_mirred)"
    )]
    HandOver {
        /// Why.
        #[source]
        source: ProgramError,
    },
    /// What `lo` is called could not be noted. All was taken back.
    #[error(
        "lo of the sandbox has an alias of {bytes} bytes, of which {room} can be kept: shorten it (ip link set lo alias)"
    )]
    Alias {
        /// So long it is.
        bytes: usize,
        /// So long it may be.
        room: usize,
    },
    /// The qdisc of `lo` could not be looked at, or taken away.
    #[error("look at the clsact qdisc of lo")]
    Hooks {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The sandbox cannot be entered.
    #[error("enter the sandbox")]
    Enter {
        /// Why.
        #[source]
        source: NamespaceError,
    },
    /// The NIC could not be taken back.
    #[error("take the NIC with MAC address {nic} back")]
    Withdraw {
        /// Plug-time address.
        nic: Mac,
        /// Why.
        #[source]
        source: MoveError,
    },
}

fn stands(others: &[Other]) -> String {
    others.iter().map(|other| format!("{other} stands")).collect::<Vec<_>>().join(", ")
}

pub(super) type Result<T> = std::result::Result<T, LoopbackEndpointError>;
