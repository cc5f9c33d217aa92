//! Ports of a VM that lead to pods: who may have which, and which connections go astray when one changes hands.

mod clash;
mod flow;

pub use clash::{PortClash, check_free, check_own};
pub use flow::{Flow, Occasion, goes_astray};

use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// Transport protocol of a port mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

impl Protocol {
    /// "tcp" or "udp".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of the VM that leads to a port of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// Port of the VM, not 0.
    pub host_port: u16,
    /// Port of the pod, not 0.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Only on this address of the VM's, or, if it is 0.0.0.0 or ::, on all of its family; `None`: on all.
    pub host_ip: Option<IpAddr>,
}

impl PortMapping {
    /// Whether it leads to pods' addresses of the family of this one.
    pub fn is_for(&self, pod: IpAddr) -> bool {
        self.host_ip.is_none_or(|host| host.is_ipv4() == pod.is_ipv4())
    }

    /// The one address of the VM's that it is for, if it is for one only.
    pub fn only_at(&self) -> Option<IpAddr> {
        self.host_ip.filter(|host| !host.is_unspecified())
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(host)) => write!(f, "[{host}]:")?,
            Some(IpAddr::V4(host)) => write!(f, "{host}:")?,
            None => {}
        }
        write!(f, "{}/{}", self.host_port, self.protocol.as_str())
    }
}
