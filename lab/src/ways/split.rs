//! Fractions of a split pod, joined by Hostlo.

use super::{Container, WayEnds};
use crate::{error::LabError, lab::Lab, pod::PodOptions};
use std::net::Ipv4Addr;

impl Lab {
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
