//! What localhost costs when a pod is split, beside everything it could be replaced by: the ways of
//! [`nestless_lab::Way`] between two containers, one in each of two VMs.

mod sides;
mod traffic;

use crate::{
    Watch,
    interleave::turns,
    load::ProcessorTime,
    machine::Machine,
    metric::Recorder,
    report::{Began, Bench, Report},
};
use nestless_lab::{Lab, LabBuilder, Vmm, Way, image::Program};
use sides::Side;
use std::time::Duration;
use traffic::Quantity;

/// Each side, and one that it is measured by.
const PAIRS: [(&str, &str); 9] = [
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
const VMS: [&str; 2] = ["vm1", "vm2"];

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// What runs the VMs.
    pub vmm: Vmm,
    /// How often each side.
    pub rounds: usize,
    /// How long each transfer, in whole seconds.
    pub transfer: Duration,
    /// How long each series of requests, and of connections.
    pub requests: Duration,
    /// How many series a round, the sides taking turns: they cost little, and vary.
    pub series: usize,
    /// Which ways, in the order in which they are built.
    pub ways: Vec<Way>,
    /// How many fractions a further split pod has; with two there is none.
    pub fractions: usize,
}

/// Builds a lab, measures in it, and removes it.
///
/// # Errors
/// When the lab cannot be built, or a program in it fails.
pub async fn run(options: &Options, watch: Watch<'_>, builder: LabBuilder) -> anyhow::Result<Report> {
    let began = Began::now();
    let lab = Box::pin(prepare(builder, options.vmm).up()).await?;
    let machine = Machine::look(&lab);
    let mut recorder = Recorder::default();
    let measured = measure(&lab, options, watch, &mut recorder).await;
    lab.down().await?;
    measured?;
    let parameters = [
        ("transfer-s", options.transfer.as_secs().to_string()),
        ("requests-ms", options.requests.as_millis().to_string()),
        ("series-per-round", options.series.to_string()),
        ("ways", options.ways.iter().map(|way| way.name()).collect::<Vec<_>>().join(",")),
        ("fractions", options.fractions.to_string()),
    ];
    Ok(began.report(Bench::Loopback, machine, options.rounds, parameters, recorder.metrics(&PAIRS)))
}

fn prepare(builder: LabBuilder, vmm: Vmm) -> LabBuilder {
    let builder = builder.vmm(vmm).vm_names(VMS).second_nic().own_program(Program::Probe);
    // Namespace VMs have this machine's.
    if vmm == Vmm::Qemu { builder.programs(Way::PROGRAMS).programs(["iperf3"]) } else { builder }
}

async fn measure(
    lab: &Lab,
    options: &Options,
    watch: Watch<'_>,
    recorder: &mut Recorder,
) -> anyhow::Result<()> {
    let processor = ProcessorTime::of(lab);
    let sides = sides::build(lab, VMS, options, watch).await?;
    watch("warm up");
    for side in &sides {
        traffic::warm_up(side).await?;
    }
    for round in 0..options.rounds {
        watch(&format!("round {} of {}", round + 1, options.rounds));
        for quantity in Quantity::ALL {
            let times = if quantity.is_transfer() { 1 } else { options.series };
            for time in 0..times {
                for turn in turns(sides.len(), round + time) {
                    let side: &Side = &sides[turn];
                    quantity.take(side, options, &processor, recorder).await?;
                }
            }
        }
    }
    Ok(())
}
