//! A pod whose only device is its VM's second NIC: no bridge, no NAT and no rule of its VM's is in its way.

use crate::{error::LabError, guest::Exec, lab::Lab, own_nic};
use nestless_model::identity::Mtu;
use nestless_support::netlink::Netlink;
use std::net::{IpAddr, Ipv4Addr};

/// Below the pods' addresses and above the VMs' own; the VM's number is added.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 101);

const MOVE: &str = r#"
set -e
for link in /sys/class/net/*; do
  [ "$(cat "$link/address")" != "$MAC" ] || nic=${link##*/}
done
ip link set "$nic" netns "$POD"
ip -n "$POD" link set "$nic" name eth0 mtu "$MTU"
ip -n "$POD" addr add "$ADDRESS/16" dev eth0
ip -n "$POD" link set eth0 up
"#;

impl Lab {
    /// Makes a pod of the VM's second NIC, which must not be in use ([`LabBuilder::second_nic`]); its address.
    /// With an MTU other than the bridge's it talks to its like only.
    ///
    /// [`LabBuilder::second_nic`]: crate::LabBuilder::second_nic
    ///
    /// # Errors
    /// When the VM refuses, or has no second NIC.
    pub async fn second_nic_pod(&self, vm: &str, pod: &str, mtu: Mtu) -> Result<IpAddr, LabError> {
        let mac = self.second_mac(vm)?;
        let number = self.vms().iter().position(|known| known.name().as_str() == vm).unwrap_or_default();
        let host = Netlink::inside(self.host()).await?;
        host.set_mtu(&host.link(&own_nic::second_link(number)).await?, mtu.bytes()).await?;
        let number = u32::try_from(number).expect("a lab has at most 64 VMs");
        let address = Ipv4Addr::from_bits(FIRST.to_bits() + number);
        self.vm(vm)?.client().await?.add_namespace(pod).await?;
        let exec = Exec::shell(MOVE).env("MAC", mac.to_string()).env("POD", pod);
        let exec = exec.env("ADDRESS", address.to_string()).env("MTU", mtu.bytes().to_string());
        self.vm(vm)?.runs("move the second NIC", &exec).await?;
        Ok(address.into())
    }
}
