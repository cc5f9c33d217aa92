//! Pods that are connected and disconnected, one at a time and many at once, by each of the plugins.

use super::{
    burst::{self, BURST},
    daemon_log::DaemonLog,
    plug::Plugs,
    plugin::{Plugin, milliseconds},
};
use crate::{
    metric::{Recorder, Unit},
    operator::Operator,
    suite::{Phase, Prepared, Samples},
};
use nestless_lab::{Lab, Vm};
use std::collections::BTreeMap;

/// Sides, by what connects the pod.
const PLUGINS: [Plugin; 3] = [Plugin::Warm, Plugin::Cold, Plugin::Reference];
/// Sides of a burst, for which spare NICs there are.
const BURST_PLUGINS: [Plugin; 2] = [Plugin::Warm, Plugin::Reference];

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// ADD and DEL of one pod.
    OnePod,
    /// QEMU's own part in the round's cold ADD, and what is left without it.
    Plug,
    /// Many pods at once.
    Burst,
}

/// Pods of one VM.
pub struct Pods<'lab> {
    lab: &'lab Lab,
    vm: &'lab Vm,
    operator: Operator,
    /// None where nothing is plugged.
    plugs: Option<Plugs>,
    rounds: usize,
    bursts: usize,
    /// The round's ADDs, in milliseconds, which a plug is compared with.
    warm_add: f64,
    cold_add: f64,
    /// Pods of bursts that got a spare NIC.
    burst_pods_warm: usize,
}

impl<'lab> Pods<'lab> {
    pub(super) fn new(
        lab: &'lab Lab,
        vm: &'lab Vm,
        operator: Operator,
        plugs: Option<Plugs>,
        rounds: usize,
        bursts: usize,
    ) -> Self {
        Self { lab, vm, operator, plugs, rounds, bursts, warm_add: 0.0, cold_add: 0.0, burst_pods_warm: 0 }
    }

    async fn one(&mut self, plugin: Plugin, recorder: &mut Recorder) -> anyhow::Result<()> {
        self.operator.settled(self.vm.name().as_str(), BURST as usize).await?;
        let (add, del) = plugin.add_and_del(self.vm, self.lab.state().vmm).await?;
        recorder.keep("add", Unit::Milliseconds, plugin.side(), add);
        recorder.keep("del", Unit::Milliseconds, plugin.side(), del);
        match plugin {
            Plugin::Warm => self.warm_add = add,
            Plugin::Cold => self.cold_add = add,
            Plugin::Reference => {}
        }
        Ok(())
    }

    async fn plug(&self, plugs: &Plugs, recorder: &mut Recorder) -> anyhow::Result<()> {
        self.operator.settled(self.vm.name().as_str(), BURST as usize).await?;
        let daemon = milliseconds(DaemonLog::of(self.lab).last_cold_attach()?);
        let plug = plugs.one(self.vm).await?;
        let (visible, answered) = (milliseconds(plug.visible), milliseconds(plug.answered));
        recorder.keep("plug", Unit::Milliseconds, "visible", visible);
        recorder.keep("plug", Unit::Milliseconds, "answered", answered);
        recorder.keep("cold-overhead", Unit::Milliseconds, "host", daemon - answered);
        let beyond_warm = self.cold_add - self.warm_add - visible;
        recorder.keep("cold-overhead", Unit::Milliseconds, "beyond-warm", beyond_warm);
        recorder.keep("cold-overhead", Unit::Milliseconds, "all", self.cold_add - visible);
        Ok(())
    }
}

impl Prepared for Pods<'_> {
    type Quantity = Quantity;

    fn phases(&self) -> Vec<Phase<Quantity>> {
        let once = |quantity, sides| Samples { quantity, sides, times: 1 };
        let plug = self.plugs.iter().map(|_| once(Quantity::Plug, 1));
        let one = std::iter::once(once(Quantity::OnePod, PLUGINS.len())).chain(plug).collect();
        let burst = vec![once(Quantity::Burst, BURST_PLUGINS.len())];
        vec![
            Phase { name: "round", rounds: self.rounds, samples: one },
            Phase { name: "burst", rounds: self.bursts, samples: burst },
        ]
    }

    /// Files are read from the image for the first time, and the reference plugin makes its bridge.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        let mut discarded = Recorder::default();
        for side in 0..PLUGINS.len() {
            self.take(Quantity::OnePod, side, &mut discarded).await?;
        }
        self.take(Quantity::Plug, 0, &mut discarded).await
    }

    async fn take(&mut self, quantity: Quantity, side: usize, recorder: &mut Recorder) -> anyhow::Result<()> {
        match quantity {
            Quantity::OnePod => self.one(PLUGINS[side], recorder).await,
            Quantity::Plug => match &self.plugs {
                Some(plugs) => self.plug(plugs, recorder).await,
                None => Ok(()),
            },
            Quantity::Burst => {
                let plugin = BURST_PLUGINS[side];
                self.burst_pods_warm +=
                    burst::measure(self.lab, self.vm, &self.operator, plugin, recorder).await?;
                Ok(())
            }
        }
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let pods = u64::from(BURST) * self.bursts as u64;
        [("burst-pods", pods), ("burst-pods-warm", self.burst_pods_warm as u64)]
            .map(|(name, count)| (name.to_owned(), count))
            .into()
    }
}
