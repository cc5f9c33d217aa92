//! How long a pod waits for its network: CNI's ADD and DEL, warm, cold, and by the reference plugins, in one guest, each
//! measured there from the start of the plugin to its end.

mod burst;
mod daemon_log;
mod plug;
mod plugin;
mod pods;
mod ready;

pub use plugin::{Plugin, cold_network};
pub use pods::{Pods, Quantity};
pub use ready::ready_times;

use crate::{
    operator::Operator,
    report::Bench,
    suite::{Suite, at_least_one},
};
use burst::BURST;
use daemon_log::DaemonLog;
use nestless_lab::{Lab, LabBuilder, Progress, Vmm};
use plug::Plugs;

/// Slots for NICs in the guest: the warm pool at its largest, a burst, and room for cold ones.
const SLOTS: u32 = 32;
const VM: &str = "vm1";

/// Measure how long a pod waits for its network: warm, cold, and by the reference bridge plugin, in one guest.
#[derive(Clone, Debug, clap::Args)]
pub struct Attach {
    /// How often each is measured.
    #[arg(long, default_value_t = 50, value_parser = at_least_one)]
    pub rounds: usize,
    /// How many bursts of eight pods at once.
    #[arg(long, default_value_t = 5)]
    pub bursts: usize,
}

impl Suite for Attach {
    const BENCH: Bench = Bench::Attach;
    const PAIRS: &'static [(&'static str, &'static str)] = &[("warm", "reference"), ("cold", "reference")];
    type Prepared<'lab> = Pods<'lab>;

    fn rounds(&self) -> usize {
        self.rounds
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        vec![("warm-pool", BURST.to_string()), ("burst", BURST.to_string())]
    }

    fn furnish(&self, builder: LabBuilder, vmm: Vmm) -> LabBuilder {
        let builder = builder.vms(1).nics(BURST, SLOTS).further_network(cold_network());
        // Namespace VMs have this machine's, and nothing is plugged in them.
        if vmm == Vmm::Namespace {
            return builder;
        }
        DaemonLog::written_by(builder.programs(["/usr/lib/cni/bridge", "/usr/lib/cni/host-local"]))
    }

    async fn prepare<'lab>(&self, lab: &'lab Lab, _: &Progress) -> anyhow::Result<Pods<'lab>> {
        let operator = Operator::of(lab).await?;
        let plugs = match lab.state().vmm {
            Vmm::Qemu => Some(Plugs::of(lab, VM, SLOTS).await?),
            Vmm::Namespace => None,
        };
        Ok(Pods::new(lab, lab.vm(VM)?, operator, plugs, self.rounds, self.bursts))
    }
}
