//! What localhost costs when a pod is split, beside everything it could be replaced by: the ways of
//! [`nestless_lab::Way`] between two containers, one in each of two VMs.

mod sides;

use crate::{
    load::{End, Lengths, Load, Traffic},
    report::Bench,
    suite::{Suite, at_least_one},
};
use nestless_lab::{Lab, LabBuilder, Progress, Vmm, Way, image::Program};
use std::time::Duration;

const VMS: [&str; 2] = ["vm1", "vm2"];
/// With so many there is no further split pod.
const FEWEST_FRACTIONS: u8 = 2;

const TRAFFIC: [Traffic; 5] = [
    Traffic::Transfer { to: End::Server, streams: 1, throughput: "throughput-1", cpu: "cpu-1" },
    Traffic::Transfer { to: End::Server, streams: 8, throughput: "throughput-8", cpu: "cpu-8" },
    Traffic::Requests { protocol: "tcp", p50: "tcp-p50", p99: "tcp-p99" },
    Traffic::Requests { protocol: "udp", p50: "udp-p50", p99: "udp-p99" },
    Traffic::Connections { per_second: "connections" },
];

/// Measure what it costs that two containers of one pod are in two VMs, by every way between them.
#[derive(Clone, Debug, clap::Args)]
pub struct Loopback {
    /// How often each way is measured.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub rounds: usize,
    /// How long each transfer takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub transfer: u64,
    /// How often requests and connections are measured on each way in a round.
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    pub series: usize,
    /// How long requests, or connections, are made one after the other each time.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub requests: u64,
    /// Only these ways: those whose ratio is looked for. Without this, all.
    #[arg(long, value_delimiter = ',', value_name = "WAY", default_values_t = Way::ALL, hide_default_value = true)]
    pub ways: Vec<Way>,
    /// Measure a pod of so many fractions too, beside the one of two.
    #[arg(long, default_value_t = FEWEST_FRACTIONS, value_parser = clap::value_parser!(u8).range(2..=16))]
    pub fractions: u8,
}

impl Loopback {
    fn lengths(&self) -> Lengths {
        Lengths {
            rounds: self.rounds,
            transfer: Duration::from_secs(self.transfer),
            requests: Duration::from_millis(self.requests),
            series: self.series,
        }
    }

    /// A way that is named twice is built once.
    fn ways(&self) -> Vec<Way> {
        let mut distinct = Vec::new();
        for &way in &self.ways {
            if !distinct.contains(&way) {
                distinct.push(way);
            }
        }
        distinct
    }
}

impl Suite for Loopback {
    const BENCH: Bench = Bench::Loopback;
    const PAIRS: &'static [(&'static str, &'static str)] = &[
        ("lo-steered", "lo"),
        ("hostlo", "nic"),
        ("hostlo", "brfusion"),
        ("hostlo", "nat"),
        ("hostlo", "overlay"),
        (sides::MANY, "hostlo"),
        ("brfusion", "nic"),
        ("nat", "nic"),
        ("overlay", "nic"),
    ];
    type Prepared<'lab> = Load;

    fn rounds(&self) -> usize {
        self.rounds
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = self.lengths().parameters();
        parameters.push(("ways", self.ways().iter().map(|way| way.name()).collect::<Vec<_>>().join(",")));
        parameters.push(("fractions", self.fractions.to_string()));
        parameters
    }

    fn furnish(&self, builder: LabBuilder, vmm: Vmm) -> LabBuilder {
        let builder = builder.vm_names(VMS).second_nic().own_program(Program::Probe);
        // Namespace VMs have this machine's.
        if vmm == Vmm::Qemu { builder.programs(Way::PROGRAMS).programs(["iperf3"]) } else { builder }
    }

    async fn prepare(&self, lab: &Lab, progress: &Progress) -> anyhow::Result<Load> {
        let mut sides = sides::build(lab, VMS, &self.ways(), progress).await?;
        if self.fractions > FEWEST_FRACTIONS {
            sides.push(sides::many(lab, VMS, usize::from(self.fractions), progress).await?);
        }
        Ok(Load::new(lab, sides, &TRAFFIC, self.lengths()))
    }
}
