//! How long a pod waits for its network: CNI's ADD and DEL, warm, cold, and by the reference plugins, in one guest, each
//! measured there from the start of the plugin to its end.

mod burst;
mod daemon_log;
mod plug;
mod plugin;

pub use plugin::{Plugin, cold_network};

use crate::{
    Watch,
    interleave::turns,
    machine::Machine,
    metric::{Recorder, Unit},
    operator::Operator,
    report::{Began, Bench, Report},
};
use daemon_log::DaemonLog;
use nestless_lab::{Lab, LabBuilder, Vmm};
use plug::Plugs;
use plugin::milliseconds;

/// Sides, by what connects the pod.
const PLUGINS: [Plugin; 3] = [Plugin::Warm, Plugin::Cold, Plugin::Reference];
/// Pods of a burst, which is the size of the warm pool too.
const BURST: usize = 8;
/// Places for NICs in the guest: the warm pool at its largest, a burst, and room for cold ones.
const PLACES: u32 = 32;
const VM: &str = "vm1";

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// What runs the VM.
    pub vmm: Vmm,
    /// How often each side.
    pub rounds: usize,
    /// How many bursts.
    pub bursts: usize,
}

/// Builds a lab, measures in it, and removes it.
///
/// # Errors
/// When the lab cannot be built, or a plugin fails.
pub async fn run(options: &Options, watch: Watch<'_>, builder: LabBuilder) -> anyhow::Result<Report> {
    let began = Began::now();
    let warm_pool = u32::try_from(BURST)?;
    let mut builder = builder.vmm(options.vmm).vms(1).nics(warm_pool, PLACES).further_network(cold_network());
    if options.vmm == Vmm::Qemu {
        builder = builder.programs(["/usr/lib/cni/bridge", "/usr/lib/cni/host-local"]);
        builder = DaemonLog::written_by(builder);
    }
    let lab = Box::pin(builder.up()).await?;
    let machine = Machine::look(&lab);
    let mut recorder = Recorder::default();
    let counts = measure(&lab, options, watch, &mut recorder).await;
    lab.down().await?;
    let warm = counts?;
    let parameters = [("warm-pool", BURST.to_string()), ("burst", BURST.to_string())];
    let metrics = recorder.metrics(&[("warm", "reference"), ("cold", "reference")]);
    Ok(Report {
        counts: [
            ("burst-pods".to_owned(), u64::try_from(BURST * options.bursts)?),
            ("burst-pods-warm".to_owned(), warm),
        ]
        .into(),
        ..began.report(Bench::Attach, machine, options.rounds, parameters, metrics)
    })
}

/// How many pods of the bursts got a spare NIC.
async fn measure(
    lab: &Lab,
    options: &Options,
    watch: Watch<'_>,
    recorder: &mut Recorder,
) -> anyhow::Result<u64> {
    let operator = Operator::of(lab).await?;
    let plugs = match options.vmm {
        Vmm::Qemu => Some(Plugs::of(lab, VM, PLACES).await?),
        Vmm::Namespace => None,
    };
    // Not kept: files are read from the image for the first time, and the reference plugin makes its bridge.
    let mut discarded = Recorder::default();
    watch("warm up");
    round(lab, options.vmm, &operator, plugs.as_ref(), 0, &mut discarded).await?;
    for number in 0..options.rounds {
        watch(&format!("round {} of {}", number + 1, options.rounds));
        round(lab, options.vmm, &operator, plugs.as_ref(), number, recorder).await?;
    }
    let mut warm = 0;
    for number in 0..options.bursts {
        watch(&format!("burst {} of {}", number + 1, options.bursts));
        warm += burst::warm(lab, VM, &operator, BURST, recorder).await?;
        burst::reference(lab, VM, options.vmm, BURST, recorder).await?;
    }
    Ok(warm)
}

async fn round(
    lab: &Lab,
    vmm: Vmm,
    operator: &Operator,
    plugs: Option<&Plugs>,
    number: usize,
    recorder: &mut Recorder,
) -> anyhow::Result<()> {
    let (mut warm_add, mut cold_add) = (None, None);
    for turn in turns(PLUGINS.len(), number) {
        let plugin = PLUGINS[turn];
        operator.settled(VM, BURST).await?;
        let (add, del) = plugin.add_and_del(lab.vm(VM)?, vmm).await?;
        recorder.keep("add", Unit::Milliseconds, plugin.side(), add);
        recorder.keep("del", Unit::Milliseconds, plugin.side(), del);
        match plugin {
            Plugin::Warm => warm_add = Some(add),
            Plugin::Cold => cold_add = Some(add),
            Plugin::Reference => {}
        }
    }
    if let (Some(plugs), Some(warm), Some(cold)) = (plugs, warm_add, cold_add) {
        operator.settled(VM, BURST).await?;
        let daemon = milliseconds(DaemonLog::of(lab).last_cold_attach()?);
        let plug = plugs.one(lab.vm(VM)?).await?;
        let (visible, answered) = (milliseconds(plug.visible), milliseconds(plug.answered));
        recorder.keep("plug", Unit::Milliseconds, "visible", visible);
        recorder.keep("plug", Unit::Milliseconds, "answered", answered);
        recorder.keep("cold-overhead", Unit::Milliseconds, "host", daemon - answered);
        recorder.keep("cold-overhead", Unit::Milliseconds, "beyond-warm", cold - warm - visible);
        recorder.keep("cold-overhead", Unit::Milliseconds, "all", cold - visible);
    }
    Ok(())
}

/// Warm and cold ADDs only, for whoever has a lab with [`cold_network`] already.
///
/// # Errors
/// When a plugin fails.
pub async fn ready_times(
    lab: &Lab,
    vmm: Vmm,
    vm: &str,
    rounds: usize,
    recorder: &mut Recorder,
) -> anyhow::Result<()> {
    let operator = Operator::of(lab).await?;
    let sides = [Plugin::Warm, Plugin::Cold];
    for number in 0..=rounds {
        for turn in turns(sides.len(), number) {
            operator.settled(vm, 1).await?;
            let (add, _) = sides[turn].add_and_del(lab.vm(vm)?, vmm).await?;
            if number > 0 {
                recorder.keep("add", Unit::Milliseconds, sides[turn].side(), add);
            }
        }
    }
    Ok(())
}
