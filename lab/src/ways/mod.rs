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

mod overlay;
mod published;
mod second_nic;
mod split;

use crate::{
    error::LabError,
    guest::Exec,
    lab::Lab,
    pod::{Pod, PodOptions},
};
use nestless_model::identity::Mtu;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

/// Who asks, and who listens.
const FEWEST_FRACTIONS: usize = 2;

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One namespace.
    Lo,
    /// One namespace that is a fraction. The lab is to have a daemon.
    LoSteered,
    /// Two fractions. The lab is to have a daemon.
    Hostlo,
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
    pub const ALL: [Self; 7] =
        [Self::Lo, Self::LoSteered, Self::Hostlo, Self::Nic, Self::Brfusion, Self::Nat, Self::Overlay];
    /// What a QEMU guest needs for any of them: see [`LabBuilder::programs`](crate::LabBuilder::programs).
    pub const PROGRAMS: [&str; 2] = ["ip", "nft"];

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lo => "lo",
            Self::LoSteered => "lo-steered",
            Self::Hostlo => "hostlo",
            Self::Nic => "nic",
            Self::Brfusion => "brfusion",
            Self::Nat => "nat",
            Self::Overlay => "overlay",
        }
    }
}

/// No way has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no way {0:?}: the ways are {known}", known = Way::ALL.map(Way::name).join(", "))]
pub struct UnknownWay(String);

impl FromStr for Way {
    type Err = UnknownWay;
    fn from_str(name: &str) -> Result<Self, UnknownWay> {
        Self::ALL.into_iter().find(|way| way.name() == name).ok_or_else(|| UnknownWay(name.to_owned()))
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
        let mut ends = WayEnds {
            asker: Container { vm: first.to_owned(), pod: pod.clone() },
            server: Container { vm: second.to_owned(), pod: pod.clone() },
            address: Ipv4Addr::LOCALHOST.into(),
        };
        match way {
            Way::Lo => {
                self.vm(first)?.client().await?.add_namespace(&pod).await?;
                ends.server = ends.asker.clone();
            }
            Way::LoSteered => {
                ends = self.split_way([first, second], &pod, FEWEST_FRACTIONS).await?;
                ends.server = ends.asker.clone();
            }
            Way::Hostlo => ends = self.split_way([first, second], &pod, FEWEST_FRACTIONS).await?,
            Way::Nic => {
                // As large packets as Hostlo's endpoints take: what differs is the way, not the size.
                let mtu = Mtu::OF_ENDPOINTS;
                self.second_nic_pod(first, &pod, mtu).await?;
                ends.address = self.second_nic_pod(second, &pod, mtu).await?;
            }
            Way::Brfusion => {
                self.pod_add(first, &pod, PodOptions::default()).await?;
                ends.address = self.pod_add(second, &pod, PodOptions::default()).await?.ipv4()?;
            }
            Way::Nat => {
                self.pod_add(first, &pod, PodOptions::classic()).await?;
                let inner = self.pod_add(second, &pod, PodOptions::classic()).await?;
                ends.address = self.publish_ports(&inner, ports).await?;
            }
            Way::Overlay => {
                self.overlay_pod([first, second], &pod, 1).await?;
                ends.address = self.overlay_pod([second, first], &pod, 2).await?;
            }
        }
        Ok(ends)
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
