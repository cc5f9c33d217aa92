//! Builds a way, whichever.

use super::way::{Container, Way, WayEnds};
use crate::{error::LabError, lab::Lab, pod::PodOptions};
use nestless_model::identity::Mtu;
use std::net::Ipv4Addr;

/// Who asks, and who listens.
const FEWEST_FRACTIONS: usize = 2;

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

    /// Makes so many fractions, two at least, of one pod, in the two VMs in turn; the ends are the first fraction in
    /// either. Their only device is the endpoint of their localhost, and the pod of fraction 3 is called "GROUP-3".
    ///
    /// # Errors
    /// When a VM or the plugin refuses.
    pub async fn split_way(
        &self,
        vms: [&str; 2],
        group: &str,
        fractions: usize,
    ) -> Result<WayEnds, LabError> {
        let name = |number: usize| format!("{group}-{number}");
        for (number, vm) in vms.iter().cycle().take(fractions).enumerate() {
            self.pod_add(vm, &name(number), PodOptions::fraction(group, &name(number))).await?;
        }
        let end = |number: usize| Container { vm: vms[number].to_owned(), pod: name(number) };
        Ok(WayEnds { asker: end(0), server: end(1), address: Ipv4Addr::LOCALHOST.into() })
    }
}
