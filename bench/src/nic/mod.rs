//! What a pod's way out costs: throughput, latency and processor time of a NIC of its own, of the usual bridge and NAT
//! in the guest, and of the guest's own NIC, which has one layer only and is what both are measured by.
//!
//! ```text
//! single    a boot-time NIC, in a namespace of the guest that has no other rules
//! brfusion  a pod's NIC, plugged by nestlessd
//! nested    a pod behind veth, bridge and NAT in the guest's own namespace, and the guest's own NIC
//! ```

mod ends;
mod traffic;

pub use crate::load::Station;
pub use ends::{Ends, PROGRAMS, SIDES};

use crate::{
    Watch,
    interleave::turns,
    load::ProcessorTime,
    machine::Machine,
    metric::Recorder,
    report::{Began, Bench, Report},
};
use nestless_lab::{Lab, LabBuilder, Vmm, image::Program};
use std::time::Duration;
use traffic::Quantity;

/// Of every side but the first to it, and of the two to each other.
pub const PAIRS: [(&str, &str); 3] = [("brfusion", "single"), ("nested", "single"), ("brfusion", "nested")];

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// What runs the VM.
    pub vmm: Vmm,
    /// How often each side.
    pub rounds: usize,
    /// How long each transfer, in whole seconds.
    pub transfer: Duration,
    /// How long each series of requests.
    pub requests: Duration,
    /// How many series a round, the sides taking turns: they cost little, and vary.
    pub series: usize,
}

/// A way between two stations; three of them are compared.
pub struct Way<'a> {
    /// Its name among the results.
    pub side: &'static str,
    /// In the VM.
    pub inside: &'a Station,
    /// What it talks to.
    pub outside: &'a Station,
}

/// Builds a lab, measures in it, and removes it.
///
/// # Errors
/// When the lab cannot be built, or a program in it fails.
pub async fn run(options: &Options, watch: Watch<'_>, builder: LabBuilder) -> anyhow::Result<Report> {
    let began = Began::now();
    let builder = prepare(builder.vmm(options.vmm).vms(1), options.vmm);
    let lab = Box::pin(builder.up()).await?;
    let machine = Machine::look(&lab);
    let mut recorder = Recorder::default();
    let measured = against_a_neighbour(&lab, options, watch, &mut recorder).await;
    lab.down().await?;
    measured?;
    let parameters = [
        ("transfer-s", options.transfer.as_secs().to_string()),
        ("requests-ms", options.requests.as_millis().to_string()),
        ("series-per-round", options.series.to_string()),
    ];
    Ok(began.report(Bench::Nic, machine, options.rounds, parameters, recorder.metrics(&PAIRS)))
}

/// What the VMs of a lab need to be measured here.
pub fn prepare(builder: LabBuilder, vmm: Vmm) -> LabBuilder {
    let builder = builder.second_nic().own_program(Program::Probe);
    // Namespace VMs have this machine's.
    if vmm == Vmm::Qemu { builder.programs(PROGRAMS) } else { builder }
}

async fn against_a_neighbour(
    lab: &Lab,
    options: &Options,
    watch: Watch<'_>,
    recorder: &mut Recorder,
) -> anyhow::Result<()> {
    watch("connect the pods");
    let neighbour = Station::neighbour(lab).await?;
    let ends = Ends::in_vm(lab, lab.vms()[0].name().as_str()).await?;
    let ways = ends.stations().map(|(side, inside)| Way { side, inside, outside: &neighbour });
    measure(lab, &ways, options, watch, recorder).await
}

/// Measures every quantity on every way, in turn.
///
/// # Errors
/// When a program in the lab fails.
pub async fn measure(
    lab: &Lab,
    ways: &[Way<'_>],
    options: &Options,
    watch: Watch<'_>,
    recorder: &mut Recorder,
) -> anyhow::Result<()> {
    let processor = ProcessorTime::of(lab);
    watch("warm up");
    for way in ways {
        traffic::warm_up(way).await?;
    }
    for round in 0..options.rounds {
        watch(&format!("round {} of {}", round + 1, options.rounds));
        for quantity in Quantity::ALL {
            let times = if quantity.is_transfer() { 1 } else { options.series };
            for time in 0..times {
                for turn in turns(ways.len(), round + time) {
                    quantity.take(&ways[turn], options, &processor, recorder).await?;
                }
            }
        }
    }
    Ok(())
}
