//! The NICs that VMs have from the start: what they are called, their addresses, and the bridge that they are ports of.

use crate::{
    builder::{LabBuilder, gateway},
    state::LabState,
};
use ipnet::IpNet;
use nestless_model::identity::Mac;
use nestless_support::netlink::{BridgeSettings, Netlink, NetlinkError, NewAddress};

/// The host's end of a VM's own NIC.
pub(crate) fn link(number: usize) -> String {
    format!("vm{}", number + 1)
}

/// The host's end of its second one.
pub(crate) fn second_link(number: usize) -> String {
    format!("vm{}b", number + 1)
}

/// Of the VM with that number.
pub(crate) fn mac(number: usize) -> Mac {
    numbered_mac(0x88, number)
}

/// Of its second one.
pub(crate) fn second_mac(number: usize) -> Mac {
    numbered_mac(0x89, number)
}

/// Locally administered, and not of the prefix that marks pods' NICs.
fn numbered_mac(kind: u8, number: usize) -> Mac {
    let low = u16::try_from(number + 1).expect("a lab has at most 64 VMs").to_be_bytes();
    Mac::new([0x52, 0x54, 0x00, kind, low[0], low[1]]).expect("52: is unicast")
}

/// What nestlessd would make.
pub(crate) async fn make_bridge(
    netlink: &Netlink,
    state: &LabState,
    builder: &LabBuilder,
) -> Result<(), NetlinkError> {
    let name = state.bridge.as_str();
    let bridge = netlink
        .create_bridge(
            name,
            None,
            BridgeSettings { stp: false, forward_delay_cs: 0, multicast_snooping: false },
        )
        .await?;
    netlink.set_mtu(&bridge, builder.mtu.bytes()).await?;
    for &subnet in &state.subnets {
        let address =
            IpNet::new(gateway(subnet), subnet.prefix_len()).expect("the length is of the same family");
        netlink.add_address(&bridge, NewAddress { address, no_duplicate_detection: true }).await?;
    }
    netlink.set_up(&bridge).await
}

/// Puts the VMs' own NICs into the bridge.
pub(crate) async fn enslave(
    netlink: &Netlink,
    state: &LabState,
    builder: &LabBuilder,
) -> Result<(), NetlinkError> {
    let bridge = netlink.link(state.bridge.as_str()).await?;
    let numbers = 0..state.vms.len();
    let second = numbers.clone().filter(|_| builder.second_nic).map(second_link);
    for name in numbers.map(link).chain(second) {
        let link = netlink.link(&name).await?;
        netlink.set_mtu(&link, builder.mtu.bytes()).await?;
        netlink.set_master(&link, &bridge).await?;
        netlink.set_up(&link).await?;
    }
    Ok(())
}
