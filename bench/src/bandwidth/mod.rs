//! What arrives of the bandwidth that a pod was given: one TCP connection and eight, to the pod and from it, at four rates.
//!
//! ```text
//! 1-mbit, 10-mbit, 100-mbit, 1000-mbit    a pod's NIC, limited to so much in either direction
//! ```
//! No burst is asked for, as container runtimes do for the annotations `kubernetes.io/egress-bandwidth` and `ingress-bandwidth`.

use crate::{
    load::{End, Lengths, Load, Side, Station, Traffic},
    metric::Recorder,
    nic::PROGRAMS,
    report::Bench,
    suite::{Phase, Prepared, Suite},
};
use nestless_lab::{Lab, LabBuilder, PodOptions, Progress, Vmm, image::Program};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};

/// A side, and its rate in 10^6 bits a second.
const RATES: [(&str, u64); 4] = [("1-mbit", 1), ("10-mbit", 10), ("100-mbit", 100), ("1000-mbit", 1000)];
/// What containerd asks for where only a rate was given.
const NO_BURST: u32 = u32::MAX;

/// Who asks is outside, and the server is in the VM.
const TRAFFIC: [Traffic; 4] = [
    Traffic::Transfer { to: End::Asker, streams: 1, throughput: "out-1", cpu: "cpu-out-1" },
    Traffic::Transfer { to: End::Asker, streams: 8, throughput: "out-8", cpu: "cpu-out-8" },
    Traffic::Transfer { to: End::Server, streams: 1, throughput: "in-1", cpu: "cpu-in-1" },
    Traffic::Transfer { to: End::Server, streams: 8, throughput: "in-8", cpu: "cpu-in-8" },
];

/// Measure what TCP gets of the bandwidth that a pod was given.
#[derive(Clone, Debug, clap::Args)]
pub struct Bandwidth {
    /// How often each rate is measured.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// How long each transfer takes. What goes in the first burst counts, so a short one tells more than the rate.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub transfer: u64,
}

/// The traffic, which a slow way does not need to be warmed up for.
pub struct Limited(Load);

impl Suite for Bandwidth {
    const BENCH: Bench = Bench::Bandwidth;
    const PAIRS: &'static [(&'static str, &'static str)] = &[];
    type Prepared<'lab> = Limited;

    fn rounds(&self) -> usize {
        self.rounds
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        vec![("transfer-s", self.transfer.to_string())]
    }

    fn furnish(&self, builder: LabBuilder, vmm: Vmm) -> LabBuilder {
        let builder = builder.vms(1).own_program(Program::Probe);
        if vmm == Vmm::Qemu { builder.programs(PROGRAMS) } else { builder }
    }

    async fn prepare(&self, lab: &Lab, progress: &Progress) -> anyhow::Result<Limited> {
        progress.step("connect the pods");
        let neighbour = Arc::new(Station::neighbour(lab).await?);
        let vm = &lab.vms()[0];
        let mut sides = Vec::new();
        for (name, megabits) in RATES {
            let options = PodOptions { config: limited(megabits * 1_000_000), ..PodOptions::default() };
            let pod = lab.pod_add(vm.name().as_str(), name, options).await?;
            let server = Arc::new(Station::pod(vm, name, pod.ipv4()?).await?);
            sides.push(Side { name, asker: Arc::clone(&neighbour), server });
        }
        let transfer = Duration::from_secs(self.transfer);
        let lengths = Lengths { rounds: self.rounds, transfer, requests: Duration::ZERO, series: 0 };
        Ok(Limited(Load::new(lab, sides, &TRAFFIC, lengths)))
    }
}

fn limited(rate: u64) -> Map<String, Value> {
    let bandwidth = json!({
        "ingressRate": rate, "ingressBurst": NO_BURST, "egressRate": rate, "egressBurst": NO_BURST,
    });
    let mut config = Map::new();
    config.insert("runtimeConfig".to_owned(), json!({ "bandwidth": bandwidth }));
    config
}

impl Prepared for Limited {
    type Quantity = Traffic;

    fn phases(&self) -> Vec<Phase<Traffic>> {
        self.0.phases()
    }

    async fn warm_up(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    async fn take(&mut self, traffic: Traffic, side: usize, recorder: &mut Recorder) -> anyhow::Result<()> {
        self.0.take(traffic, side, recorder).await
    }
}
