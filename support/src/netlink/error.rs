//! What was tried, on what, and why it failed.

use super::link_value::{AddressGeneration, HardwareAddress};
use crate::netns::NamespaceError;
use ipnet::IpNet;
use std::{fmt, io};

/// A refused or failed request.
#[derive(Debug, thiserror::Error)]
#[error("{operation}")]
pub struct NetlinkError {
    /// What was tried.
    pub operation: Box<Operation>,
    /// Why it failed.
    #[source]
    pub cause: Box<Cause>,
}

impl NetlinkError {
    /// What it was about does not exist (any more).
    pub fn is_missing(&self) -> bool {
        matches!(*self.cause, Cause::NoSuchLink)
            || matches!(
                self.errno(),
                Some(libc::ENODEV | libc::ENOENT | libc::ESRCH | libc::EADDRNOTAVAIL | libc::ENXIO)
            )
    }

    /// It exists already.
    pub fn is_existing(&self) -> bool {
        self.errno() == Some(libc::EEXIST)
    }

    /// The process lacks CAP_NET_ADMIN.
    pub fn is_permission(&self) -> bool {
        matches!(self.errno(), Some(libc::EPERM | libc::EACCES))
    }

    /// The kernel's error number, where it was the kernel that refused.
    pub fn errno(&self) -> Option<i32> {
        match &*self.cause {
            Cause::Kernel(error) | Cause::NotPermitted(error) => error.raw_os_error(),
            _ => None,
        }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The kernel said no.
    #[error("the kernel refuses")]
    Kernel(#[source] io::Error),
    /// The kernel said no because of who we are.
    #[error("CAP_NET_ADMIN is needed: run as root, or give the unit AmbientCapabilities=CAP_NET_ADMIN")]
    NotPermitted(#[source] io::Error),
    /// A link that was looked for.
    #[error("there is no such link")]
    NoSuchLink,
    /// No socket, or it broke.
    #[error("the netlink socket")]
    Socket(#[source] io::Error),
    /// The channel is closed, or the kernel's answer makes no sense.
    #[error("the netlink exchange")]
    Exchange(#[source] rtnetlink::Error),
    /// The event channel ended.
    #[error("the netlink socket was closed")]
    Closed,
    /// The namespace cannot be used.
    #[error("the network namespace")]
    Namespace(#[source] NamespaceError),
}

impl From<rtnetlink::Error> for Cause {
    fn from(error: rtnetlink::Error) -> Self {
        match error {
            rtnetlink::Error::NetlinkError(message) => {
                let error = message.to_io();
                if error.kind() == io::ErrorKind::PermissionDenied {
                    Self::NotPermitted(error)
                } else {
                    Self::Kernel(error)
                }
            }
            other => Self::Exchange(other),
        }
    }
}

pub(super) fn at(operation: Operation, cause: impl Into<Cause>) -> NetlinkError {
    NetlinkError { operation: Box::new(operation), cause: Box::new(cause.into()) }
}

/// One request, in the words of an error message: "set MTU of nl3 to 1500".
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are spelled out by Display below")]
pub enum Operation {
    Open,
    ListLinks,
    WatchLinks,
    FindLink { link: String },
    CreateBridge { link: String },
    CreateDummy { link: String },
    CreateQueue { link: String },
    CreateVeth { link: String, peer: String },
    SetUp { link: String },
    SetDown { link: String },
    Rename { link: String, name: String },
    SetMac { link: String, mac: HardwareAddress },
    SetMtu { link: String, mtu_bytes: u32 },
    SetMaster { link: String, master: String },
    ClearMaster { link: String },
    SetAlias { link: String, alias: String },
    DeleteAlternativeName { link: String, name: String },
    SetAddressGeneration { link: String, mode: AddressGeneration },
    SetBridge { link: String },
    Move { link: String, namespace: String },
    DeleteLink { link: String },
    ListAddresses,
    AddAddress { link: String, address: IpNet },
    DeleteAddress { link: String, address: IpNet },
    ListRoutes,
    AddRoute { route: String },
    DeleteRoute { route: String },
    ListRules,
    AddRule { rule: String },
    DeleteRule { rule: String },
    ListNeighbours { link: String },
    DeleteNeighbour { link: String, neighbour: String },
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => write!(f, "open a netlink socket"),
            Self::ListLinks => write!(f, "list links"),
            Self::WatchLinks => write!(f, "watch links"),
            Self::FindLink { link } => write!(f, "find link {link}"),
            Self::CreateBridge { link } => write!(f, "create bridge {link}"),
            Self::CreateDummy { link } => write!(f, "create dummy link {link}"),
            Self::CreateQueue { link } => write!(f, "create ifb link {link}"),
            Self::CreateVeth { link, peer } => write!(f, "create veth {link} with peer {peer}"),
            Self::SetUp { link } => write!(f, "set {link} up"),
            Self::SetDown { link } => write!(f, "set {link} down"),
            Self::Rename { link, name } => write!(f, "rename {link} to {name}"),
            Self::SetMac { link, mac } => write!(f, "set MAC address of {link} to {mac}"),
            Self::SetMtu { link, mtu_bytes } => write!(f, "set MTU of {link} to {mtu_bytes}"),
            Self::SetMaster { link, master } => write!(f, "make {link} a port of {master}"),
            Self::ClearMaster { link } => write!(f, "take {link} out of its bridge"),
            Self::SetAlias { link, alias } => write!(f, "set alias of {link} to {alias:?}"),
            Self::DeleteAlternativeName { link, name } => {
                write!(f, "delete alternative name {name} of {link}")
            }
            Self::SetAddressGeneration { link, mode } => {
                write!(f, "set IPv6 address generation of {link} to {mode}")
            }
            Self::SetBridge { link } => write!(f, "set bridge options of {link}"),
            Self::Move { link, namespace } => write!(f, "move {link} to {namespace}"),
            Self::DeleteLink { link } => write!(f, "delete link {link}"),
            Self::ListAddresses => write!(f, "list addresses"),
            Self::AddAddress { link, address } => write!(f, "add address {address} to {link}"),
            Self::DeleteAddress { link, address } => write!(f, "delete address {address} of {link}"),
            Self::ListRoutes => write!(f, "list routes"),
            Self::AddRoute { route } => write!(f, "add route {route}"),
            Self::DeleteRoute { route } => write!(f, "delete route {route}"),
            Self::ListRules => write!(f, "list routing rules"),
            Self::AddRule { rule } => write!(f, "add routing rule {rule}"),
            Self::DeleteRule { rule } => write!(f, "delete routing rule {rule}"),
            Self::ListNeighbours { link } => write!(f, "list neighbours of {link}"),
            Self::DeleteNeighbour { link, neighbour } => write!(f, "delete neighbour {neighbour} of {link}"),
        }
    }
}
