//! Ways by which one container of a pod can reach another one: on one machine, and by what is done without Hostlo when
//! the two are in different VMs.
//!
//! ```text
//! lo        both in one network namespace of one VM
//! nic       a NIC each of their VMs that is there from the start, with plain addresses: what any NIC costs
//! brfusion  a pod's NIC each, plugged by nestlessd
//! nat       veth, bridge and NAT in both VMs, through a published port of the second
//! overlay   veth, bridge and VXLAN in both VMs
//! ```
//! All but `lo` make the containers use each other's addresses.

mod overlay;
mod published;
mod second_nic;

use crate::{
    error::LabError,
    guest::Exec,
    lab::Lab,
    pod::{Pod, PodOptions},
};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One namespace.
    Lo,
    /// Plain NICs. The lab is to have [second ones](crate::LabBuilder::second_nic).
    Nic,
    /// Pods' NICs. The lab is to have a daemon.
    Brfusion,
    /// A published port.
    Nat,
    /// VXLAN.
    Overlay,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Lo, Self::Nic, Self::Brfusion, Self::Nat, Self::Overlay];
    /// What a QEMU guest needs for any of them: see [`LabBuilder::programs`](crate::LabBuilder::programs).
    pub const PROGRAMS: [&str; 2] = ["ip", "nft"];

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lo => "lo",
            Self::Nic => "nic",
            Self::Brfusion => "brfusion",
            Self::Nat => "nat",
            Self::Overlay => "overlay",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One end of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its VM.
    pub vm: String,
    /// Its pod: a network namespace.
    pub pod: String,
}

/// A way that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayEnds {
    /// Who asks.
    pub asker: Container,
    /// Who listens.
    pub server: Container,
    /// By which the asker reaches the server.
    pub address: IpAddr,
}

impl Lab {
    /// Builds a way between two VMs, each once; `ports` are those that [`Way::Nat`] publishes, as nft writes a set:
    /// "5201-5203". They go with the lab.
    ///
    /// # Errors
    /// When a VM or the plugin refuses.
    pub async fn way(&self, way: Way, [first, second]: [&str; 2], ports: &str) -> Result<WayEnds, LabError> {
        let pod = format!("way-{way}");
        let second = if way == Way::Lo { first } else { second };
        let address = match way {
            Way::Lo => {
                self.vm(first)?.client().await?.add_namespace(&pod).await?;
                Ipv4Addr::LOCALHOST.into()
            }
            Way::Nic => {
                self.second_nic_pod(first, &pod).await?;
                self.second_nic_pod(second, &pod).await?
            }
            Way::Brfusion => {
                self.pod_add(first, &pod, PodOptions::default()).await?;
                self.pod_add(second, &pod, PodOptions::default()).await?.ipv4()?
            }
            Way::Nat => {
                self.pod_add(first, &pod, PodOptions::classic()).await?;
                let inner = self.pod_add(second, &pod, PodOptions::classic()).await?;
                self.publish_ports(&inner, ports).await?
            }
            Way::Overlay => {
                self.overlay_pod([first, second], &pod, 1).await?;
                self.overlay_pod([second, first], &pod, 2).await?
            }
        };
        let [asker, server] = [first, second].map(|vm| Container { vm: vm.to_owned(), pod: pod.clone() });
        Ok(WayEnds { asker, server, address })
    }

    /// The IPv4 address of a VM's own NIC.
    fn own_ipv4(&self, vm: &str) -> Result<IpAddr, LabError> {
        let found = self.vm(vm)?.addresses().iter().map(|net| net.addr()).find(IpAddr::is_ipv4);
        found.ok_or_else(|| LabError::NoAddress { what: vm.to_owned() })
    }

    async fn script(&self, vm: &str, purpose: &str, exec: Exec) -> Result<(), LabError> {
        self.exec(vm, &exec).await?.success(format!("{purpose} in {vm}"))?;
        Ok(())
    }
}

impl Pod {
    /// Its IPv4 address.
    ///
    /// # Errors
    /// When it has none.
    pub fn ipv4(&self) -> Result<IpAddr, LabError> {
        let found = self.addresses.iter().copied().find(IpAddr::is_ipv4);
        found.ok_or_else(|| LabError::NoAddress { what: format!("pod {} of {}", self.name, self.vm) })
    }
}
