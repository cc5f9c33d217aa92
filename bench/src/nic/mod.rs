//! What a pod's way out costs: throughput, latency and processor time of a NIC of its own, of the usual bridge and NAT
//! in the guest, and of the guest's own NIC, which has one layer only and is what both are measured by.
//!
//! ```text
//! single    a boot-time NIC, in a namespace of the guest that has no other rules
//! brfusion  a pod's NIC, plugged by nestlessd
//! nested    a pod behind veth, bridge and NAT in the guest's own namespace, and the guest's own NIC
//! ```

mod ends;

pub use ends::{Ends, PROGRAMS, SIDES};

use crate::{
    load::{End, Lengths, Load, Side, Station, Traffic},
    report::Bench,
    suite::{Suite, at_least_one},
};
use nestless_lab::{Lab, LabBuilder, Progress, Vmm, image::Program};
use std::{sync::Arc, time::Duration};

/// Of every side but the first to it, and of the two to each other.
pub const PAIRS: [(&str, &str); 3] = [("brfusion", "single"), ("nested", "single"), ("brfusion", "nested")];

/// Who asks is outside, and the server is in the VM.
const TRAFFIC: [Traffic; 4] = [
    Traffic::Transfer { to: End::Asker, streams: 1, throughput: "throughput-out", cpu: "cpu-out" },
    Traffic::Transfer { to: End::Server, streams: 1, throughput: "throughput-in", cpu: "cpu-in" },
    Traffic::Requests { protocol: "tcp", p50: "tcp-p50", p99: "tcp-p99" },
    Traffic::Requests { protocol: "udp", p50: "udp-p50", p99: "udp-p99" },
];

/// Measure throughput, latency and processor time of a pod's way out: by a NIC of its own, and nested.
#[derive(Clone, Debug, clap::Args)]
pub struct Nic {
    /// How often each way is measured.
    #[arg(long, default_value_t = 15, value_parser = at_least_one)]
    pub rounds: usize,
    /// How long each transfer takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub transfer: u64,
    /// How often requests are measured on each way in a round.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub series: usize,
    /// How long requests are sent one after the other each time.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub requests: u64,
}

impl Nic {
    fn lengths(&self) -> Lengths {
        Lengths {
            rounds: self.rounds,
            transfer: Duration::from_secs(self.transfer),
            requests: Duration::from_millis(self.requests),
            series: self.series,
        }
    }
}

impl Suite for Nic {
    const BENCH: Bench = Bench::Nic;
    const PAIRS: &'static [(&'static str, &'static str)] = &PAIRS;
    type Prepared<'lab> = Load;

    fn rounds(&self) -> usize {
        self.rounds
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        self.lengths().parameters()
    }

    fn furnish(&self, builder: LabBuilder, vmm: Vmm) -> LabBuilder {
        furnish(builder.vms(1), vmm)
    }

    async fn prepare(&self, lab: &Lab, progress: &Progress) -> anyhow::Result<Load> {
        progress.step("connect the pods");
        let neighbour = Arc::new(Station::neighbour(lab).await?);
        let ends = Ends::in_vm(lab, lab.vms()[0].name().as_str()).await?;
        let side = |(name, server)| Side { name, asker: Arc::clone(&neighbour), server };
        Ok(load(lab, ends.stations().map(side).into(), self.lengths()))
    }
}

/// What the VMs of a lab need to be measured here.
pub fn furnish(builder: LabBuilder, vmm: Vmm) -> LabBuilder {
    let builder = builder.second_nic().own_program(Program::Probe);
    // Namespace VMs have this machine's.
    if vmm == Vmm::Qemu { builder.programs(PROGRAMS) } else { builder }
}

/// The traffic of this suite between other ends, of which the servers are in the VM.
pub fn load(lab: &Lab, sides: Vec<Side>, lengths: Lengths) -> Load {
    Load::new(lab, sides, &TRAFFIC, lengths)
}
