//! A network of pods over several VMs, as overlay plugins make it: a bridge in each VM, and VXLAN between them over the
//! VMs' own NICs.

use crate::{error::LabError, guest::Exec, lab::Lab};
use std::net::{IpAddr, Ipv4Addr};

/// Without the last number.
const PREFIX: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 0);

/// VXLAN takes 50 bytes of each packet (RFC 7348, with IPv4 outside): the kernel gives its device that much less MTU,
/// and the pod has to have as much.
const CONNECT: &str = r#"
set -e
ip link add ovl-br type bridge
ip link add ovl-vx type vxlan id 88 local "$OWN" remote "$PEER" dstport 4789 dev eth0
mtu=$(cat /sys/class/net/ovl-vx/mtu)
ip link set ovl-vx master ovl-br up
ip link set ovl-br up
ip link add ovl-pod mtu "$mtu" type veth peer name eth0 mtu "$mtu" netns "$POD"
ip link set ovl-pod master ovl-br up
ip -n "$POD" addr add "$ADDRESS/24" dev eth0
ip -n "$POD" link set eth0 up
"#;

impl Lab {
    /// Makes the overlay's one pod in `vm`, to meet the one in `peer`; its address, which ends with `number`.
    pub(super) async fn overlay_pod(
        &self,
        [vm, peer]: [&str; 2],
        pod: &str,
        number: u8,
    ) -> Result<IpAddr, LabError> {
        let address = Ipv4Addr::from_bits(PREFIX.to_bits() + u32::from(number));
        self.vm(vm)?.client().await?.add_namespace(pod).await?;
        let (own, peer) = (self.vm(vm)?.ipv4()?, self.vm(peer)?.ipv4()?);
        let exec = Exec::shell(CONNECT).env("OWN", own.to_string()).env("PEER", peer.to_string());
        let exec = exec.env("POD", pod).env("ADDRESS", address.to_string());
        self.vm(vm)?.runs("connect a pod to the overlay", &exec).await?;
        Ok(address.into())
    }
}
