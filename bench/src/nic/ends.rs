//! The three ways into one VM.

use crate::load::{MAPPED_PORTS, Station};
use nestless_lab::{Exec, Lab, PodOptions};
use nestless_model::identity::Mtu;
use std::sync::Arc;

/// Programs of this machine that a VM needs.
pub const PROGRAMS: [&str; 3] = ["ip", "nft", "iperf3"];
/// The ways, in the order of their layers.
pub const SIDES: [&str; 3] = ["single", "nested", "brfusion"];

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
    single: Arc<Station>,
    nested: Arc<Station>,
    brfusion: Arc<Station>,
    nested_way: Vec<[String; 4]>,
}

impl Ends {
    /// Makes them.
    ///
    /// # Errors
    /// When one cannot be connected.
    pub async fn in_vm(lab: &Lab, vm: &str) -> anyhow::Result<Self> {
        let brfusion = lab.pod_add(vm, "brfusion", PodOptions::default()).await?;
        let nested = lab.pod_add(vm, "nested", PodOptions::classic()).await?;
        let machine = lab.vm(vm)?;
        let inner = nested.ipv4()?;
        let outer = lab.publish_ports(&nested, MAPPED_PORTS).await?;
        let look = Exec::shell(NESTED_WAY).env("OUTER", outer.to_string()).env("INNER", inner.to_string());
        let told = lab.exec(vm, &look).await?.success("look at the nested pod's devices")?;
        let single = lab.second_nic_pod(vm, "single", Mtu::default()).await?;
        Ok(Self {
            single: Arc::new(Station::pod(machine, "single", single).await?),
            nested: Arc::new(Station::pod(machine, "nested", outer).await?),
            brfusion: Arc::new(Station::pod(machine, "brfusion", brfusion.ipv4()?).await?),
            nested_way: told.text().lines().filter_map(hop).collect(),
        })
    }

    /// By the names of [`SIDES`].
    pub fn stations(&self) -> [(&'static str, Arc<Station>); 3] {
        let [single, nested, brfusion] = SIDES;
        [(single, &self.single), (nested, &self.nested), (brfusion, &self.brfusion)]
            .map(|(side, station)| (side, Arc::clone(station)))
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
