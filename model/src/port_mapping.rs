//! Ports of a VM that lead to pods.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Transport protocol of a port mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
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
    /// Only on this address of the VM's; `None`: on all.
    pub host_ip: Option<IpAddr>,
}
