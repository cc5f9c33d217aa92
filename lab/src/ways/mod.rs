//! Ways by which one container of a pod can reach another one: on one machine, and by what is done without Hostlo when
//! the two are in different VMs.
//!
//! ```text
//! lo          both in one network namespace of one VM
//! lo-steered  the same, and the pod has another fraction: the packets are looked at, and stay
//! hostlo      a fraction each of one pod
//! nic         a NIC each of their VMs that is there from the start, with plain addresses: what any NIC costs
//! brfusion    a pod's NIC each, plugged by nestlessd
//! nat         veth, bridge and NAT in both VMs, through a published port of the second
//! overlay     veth, bridge and VXLAN in both VMs
//! ```
//! From `nic` on the containers have to know each other's addresses.

mod build;
mod overlay;
mod published;
mod second_nic;
mod way;

pub use way::{Container, UnknownWay, Way, WayEnds};
