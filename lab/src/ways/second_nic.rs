//! A pod whose only device is its VM's second NIC: no bridge, no NAT and no rule of its VM's is in its way.

use crate::{error::LabError, guest::Exec, lab::Lab};
use std::net::{IpAddr, Ipv4Addr};

/// Below the pods' addresses and above the VMs' own; the VM's number is added.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 101);

const MOVE: &str = r#"
set -e
for link in /sys/class/net/*; do
  [ "$(cat "$link/address")" != "$MAC" ] || nic=${link##*/}
done
ip link set "$nic" netns "$POD"
ip -n "$POD" link set "$nic" name eth0
ip -n "$POD" addr add "$ADDRESS/16" dev eth0
ip -n "$POD" link set eth0 up
"#;

impl Lab {
    /// Makes a pod of the VM's second NIC, which must not be in use ([`LabBuilder::second_nic`]); its address.
    ///
    /// [`LabBuilder::second_nic`]: crate::LabBuilder::second_nic
    ///
    /// # Errors
    /// When the VM refuses, or has no second NIC.
    pub async fn second_nic_pod(&self, vm: &str, pod: &str) -> Result<IpAddr, LabError> {
        let mac = self.second_mac(vm)?;
        let number = self.vms().iter().position(|known| known.name().as_str() == vm).unwrap_or_default();
        let number = u32::try_from(number).expect("a lab has at most 64 VMs");
        let address = Ipv4Addr::from_bits(FIRST.to_bits() + number);
        self.vm(vm)?.client().await?.add_namespace(pod).await?;
        let exec = Exec::shell(MOVE).env("MAC", mac.to_string()).env("POD", pod);
        self.script(vm, "move the second NIC", exec.env("ADDRESS", address.to_string())).await?;
        Ok(address.into())
    }
}
