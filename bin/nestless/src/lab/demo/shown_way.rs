//! A way of packets, device by device, as a picture of one line.

use crate::report::Hop;
use nestless_bench::Machine;
use schemars::JsonSchema;
use serde::Serialize;

const NAMES: [(&str, &str); 3] =
    [("single", "single layer"), ("nested", "nested NAT"), ("brfusion", "BrFusion")];

/// One way out of a VM.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownWay {
    /// "single", "nested", "brfusion"
    pub(crate) side: String,
    /// From the pod outwards.
    pub(crate) hops: Vec<Hop>,
}

impl ShownWay {
    /// Runs of devices in the same place are put into brackets: `pod[eth0] > host[nl1 > nestless0]`.
    pub(super) fn draw(&self) -> String {
        let mut text = String::new();
        let mut place = "";
        for hop in &self.hops {
            if hop.place != place {
                text.push_str(if place.is_empty() { "" } else { " ] -> " });
                text.push_str(&format!("{} [ ", hop.place));
            } else {
                text.push_str(" -> ");
            }
            place = &hop.place;
            text.push_str(&if hop.device.eq_ignore_ascii_case(&hop.kind) {
                hop.device.clone()
            } else {
                format!("{} {}", hop.kind, hop.device)
            });
        }
        format!("  {:<14}{text} ]\n", name(&self.side))
    }
}

/// What plays the VMs.
pub(super) fn vms(machine: &Machine) -> String {
    if machine.qemu.is_empty() {
        "namespaces that play VMs (no figures to judge by: use QEMU for those)".to_owned()
    } else {
        format!("VMs (QEMU {} with {})", machine.qemu, machine.accelerator.to_uppercase())
    }
}

fn name(side: &str) -> &str {
    NAMES.iter().find(|(known, _)| *known == side).map_or(side, |(_, name)| name)
}
