//! The three ways into one VM.

use super::{
    Station,
    station::{PROBE_PORT, TRANSFER_PORT},
};
use anyhow::Context as _;
use nestless_lab::{Exec, Lab, PodOptions};
use std::net::{IpAddr, Ipv4Addr};

/// Programs of this machine that a VM needs.
pub const PROGRAMS: [&str; 3] = ["ip", "nft", "iperf3"];
/// The ways, in the order of their layers.
pub const SIDES: [&str; 3] = ["single", "nested", "brfusion"];

/// Below the pods' addresses, and above the neighbour's.
const SINGLE: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 210);

/// Takes the VM's second NIC out of the way of the rules that its own namespace has for the nested pod.
const MOVE_SECOND_NIC: &str = r#"
set -e
for link in /sys/class/net/*; do
  [ "$(cat "$link/address")" != "$MAC" ] || nic=${link##*/}
done
ip link set "$nic" netns single
ip -n single link set "$nic" name eth0
ip -n single addr add "$ADDRESS/16" dev eth0
ip -n single link set eth0 up
"#;

/// What the reference `portmap` plugin does for a pod's ports, in the words of nft.
const MAP_PORTS: &str = r#"
nft -f - <<END
table ip classic {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ip daddr $OUTER tcp dport { $PORTS } dnat to $INNER
    ip daddr $OUTER udp dport { $PORTS } dnat to $INNER
  }
}
END
"#;

/// What there is on the way of the nested pod's packets, a line a device: place, device, kind, detail. A device that is
/// not there ends the script.
const NESTED_WAY: &str = r#"
set -e
port=$(basename /sys/class/net/cni0/brif/*)
nft list chain ip classic postrouting | grep -q masquerade
echo "pod|eth0|veth|$INNER"
echo "guest|$port|veth|port of cni0"
echo "guest|cni0|bridge|second network of the VM"
echo "guest|NAT|nat|$INNER is $OUTER outside"
[ -e /sys/class/net/eth0/device ] && kind=virtio-net || kind=veth
echo "guest|eth0|$kind|$OUTER"
"#;

/// In one VM.
pub struct Ends {
    single: Station,
    nested: Station,
    brfusion: Station,
    nested_way: Vec<[String; 4]>,
}

impl Ends {
    /// Makes them; `number` keeps the addresses of several VMs apart.
    ///
    /// # Errors
    /// When one cannot be connected.
    pub async fn in_vm(lab: &Lab, vm: &str, number: u8) -> anyhow::Result<Self> {
        let brfusion = lab.pod_add(vm, "brfusion", PodOptions::default()).await?;
        let nested = lab.pod_add(vm, "nested", PodOptions::classic()).await?;
        let machine = lab.vm(vm)?;
        let v4 = |addresses: &[IpAddr]| addresses.iter().copied().find(IpAddr::is_ipv4);
        let outer = machine.addresses().iter().map(|a| a.addr()).find(IpAddr::is_ipv4);
        let outer = outer.with_context(|| format!("{vm} has no IPv4 address"))?;
        let inner =
            v4(&nested.addresses).with_context(|| format!("the nested pod of {vm} has no address"))?;
        let pods = v4(&brfusion.addresses).with_context(|| format!("the pod of {vm} has no IPv4 address"))?;
        let of_nested = |script: &str| {
            let exec = Exec::shell(script).env("OUTER", outer.to_string()).env("INNER", inner.to_string());
            exec.env("PORTS", format!("{TRANSFER_PORT}, {PROBE_PORT}"))
        };
        lab.exec(vm, &of_nested(MAP_PORTS)).await?.success("map the nested pod's ports")?;
        let told = lab.exec(vm, &of_nested(NESTED_WAY)).await?.success("look at the nested pod's devices")?;

        machine.client().await?.add_namespace("single").await?;
        let single = Ipv4Addr::from_bits(SINGLE.to_bits() + u32::from(number));
        let exec = Exec::shell(MOVE_SECOND_NIC).env("MAC", lab.second_mac(vm)?.to_string());
        let moved = lab.exec(vm, &exec.env("ADDRESS", single.to_string())).await?;
        moved.success("move the VM's second NIC")?;
        Ok(Self {
            single: Station::pod(machine, "single", single.into()).await?,
            nested: Station::pod(machine, "nested", outer).await?,
            brfusion: Station::pod(machine, "brfusion", pods).await?,
            nested_way: told.text().lines().filter_map(hop).collect(),
        })
    }

    /// By the names of [`SIDES`].
    pub fn stations(&self) -> [(&'static str, &Station); 3] {
        let [single, nested, brfusion] = SIDES;
        [(single, &self.single), (nested, &self.nested), (brfusion, &self.brfusion)]
    }

    /// The BrFusion pod.
    pub fn brfusion(&self) -> &Station {
        &self.brfusion
    }

    /// The way of the nested pod's packets, up to the VM's own NIC: place, device, kind, detail.
    pub fn nested_way(&self) -> &[[String; 4]] {
        &self.nested_way
    }
}

fn hop(line: &str) -> Option<[String; 4]> {
    let words: Vec<String> = line.split('|').map(ToOwned::to_owned).collect();
    words.try_into().ok()
}
