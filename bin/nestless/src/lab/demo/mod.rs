//! `nestless lab demo`: two VMs, the same traffic on three ways between them, and what each way costs.

mod args;
mod picture;
mod shown_way;
mod split;
mod stage;

pub(crate) use args::Args;
pub(crate) use split::SplitDemo;

use crate::report::{Hop, Trace};
use anyhow::Context as _;
use nestless_bench::{
    Machine, Metric, Operator, Recorder, attach,
    load::{Lengths, Side},
    nic::{self, Ends},
};
use nestless_lab::{Lab, Progress, Vmm};
use schemars::JsonSchema;
use serde::Serialize;
use shown_way::ShownWay;
use stage::Stage;
use std::time::{Duration, Instant};

const VMS: [&str; 2] = ["vm1", "vm2"];
const LENGTHS: Lengths =
    Lengths { rounds: 3, transfer: Duration::from_secs(2), requests: Duration::from_millis(200), series: 3 };
const ATTACHES: usize = 5;

/// `nestless lab demo --json`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Demo {
    /// Where it ran.
    pub(crate) machine: Machine,
    /// Building and removing the lab included.
    pub(crate) took_s: f64,
    /// Device by device, from a pod in vm1 to the host's bridge.
    pub(crate) ways: Vec<ShownWay>,
    /// Throughput, latency and processor time of the ways, and how long a pod waits for its NIC.
    pub(crate) metrics: Vec<Metric>,
}

async fn show(stage: &Stage, progress: Progress) -> anyhow::Result<Demo> {
    let clock = Instant::now();
    let builder = Lab::builder(&stage.name)
        .progress(progress.clone())
        .vm_names(VMS)
        .further_network(attach::cold_network());
    let lab = stage.build(nic::furnish(builder, stage.vmm)).await?;
    let machine = Machine::look(&lab);
    let mut recorder = Recorder::default();
    let ways = measure(&lab, &progress, &mut recorder).await;
    stage.strike(lab, &progress).await?;
    Ok(Demo {
        machine,
        took_s: clock.elapsed().as_secs_f64(),
        ways: ways?,
        metrics: recorder.metrics(&nic::PAIRS, LENGTHS.rounds),
    })
}

/// Measures; the ways it measured.
async fn measure(lab: &Lab, progress: &Progress, recorder: &mut Recorder) -> anyhow::Result<Vec<ShownWay>> {
    progress.step("attach and detach pods");
    attach::ready_times(lab, VMS[0], ATTACHES, recorder).await?;
    progress.step("connect the pods");
    let (near, far) = (Ends::in_vm(lab, VMS[0]).await?, Ends::in_vm(lab, VMS[1]).await?);
    let pairs = near.stations().into_iter().zip(far.stations());
    let sides = pairs.map(|((name, server), (_, asker))| Side { name, asker, server });
    let mut load = nic::load(lab, sides.collect(), LENGTHS);
    let told = progress.clone();
    let progress = Progress::to(move |step| told.step(format!("send traffic between the VMs: {step}")));
    nestless_bench::measure(&mut load, &progress, recorder).await?;
    look(lab, &near).await
}

/// What is on the ways out of the first VM.
async fn look(lab: &Lab, ends: &Ends) -> anyhow::Result<Vec<ShownWay>> {
    let address = ends.brfusion().address().to_string();
    let mut brfusion = Trace::from(Operator::of(lab).await?.trace(&address).await?).hops;
    // What comes after the bridge is for traffic that leaves the host.
    let bridge = brfusion.iter().position(|hop| hop.kind == "bridge").context("the trace shows no bridge")?;
    brfusion.truncate(bridge + 1);
    let bridge = brfusion[bridge].clone();
    // Of the VMs' own NICs, as the pods' are traced.
    let [device, end] = match lab.state().vmm {
        Vmm::Qemu => ["virtio-net", "tap"],
        Vmm::Namespace => ["veth", "veth"],
    };
    let host_end = |link| hop(["host", link, end, ""]);
    let mut nested: Vec<Hop> =
        ends.nested_way().iter().map(|words| hop(words.each_ref().map(String::as_str))).collect();
    nested.extend([host_end("vm1"), bridge.clone()]);
    let single = vec![hop(["guest", "eth0", device, ""]), host_end("vm1b"), bridge];
    let [first, second, third] = nic::SIDES;
    Ok([(first, single), (second, nested), (third, brfusion)]
        .map(|(side, hops)| ShownWay { side: side.to_owned(), hops })
        .into())
}

/// Of a device that was just seen, or that traffic just went through.
fn hop([place, device, kind, detail]: [&str; 4]) -> Hop {
    Hop { place: place.into(), device: device.into(), kind: kind.into(), detail: detail.into(), seen: true }
}
