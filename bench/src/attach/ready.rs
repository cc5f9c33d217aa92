//! How long a pod waits for its NIC, in a lab that is there for something else.

use super::plugin::Plugin;
use crate::{
    metric::{Recorder, Unit},
    operator::Operator,
    runner::measure,
    suite::{Phase, Prepared, Samples},
};
use nestless_lab::{Lab, Progress, Vm};

const PLUGINS: [Plugin; 2] = [Plugin::Warm, Plugin::Cold];

/// Warm and cold ADDs only. The lab has [`cold_network`](super::cold_network).
///
/// # Errors
/// When a plugin fails.
pub async fn ready_times(lab: &Lab, vm: &str, rounds: usize, recorder: &mut Recorder) -> anyhow::Result<()> {
    let mut adds = Adds { lab, vm: lab.vm(vm)?, operator: Operator::of(lab).await?, rounds };
    measure(&mut adds, &Progress::default(), recorder).await
}

struct Adds<'lab> {
    lab: &'lab Lab,
    vm: &'lab Vm,
    operator: Operator,
    rounds: usize,
}

impl Prepared for Adds<'_> {
    type Quantity = ();

    fn phases(&self) -> Vec<Phase<()>> {
        let samples = vec![Samples { quantity: (), sides: PLUGINS.len(), times: 1 }];
        vec![Phase { name: "round", rounds: self.rounds, samples }]
    }

    async fn warm_up(&mut self) -> anyhow::Result<()> {
        let mut discarded = Recorder::default();
        for side in 0..PLUGINS.len() {
            self.take((), side, &mut discarded).await?;
        }
        Ok(())
    }

    async fn take(&mut self, (): (), side: usize, recorder: &mut Recorder) -> anyhow::Result<()> {
        let plugin = PLUGINS[side];
        self.operator.settled(self.vm.name().as_str(), 1).await?;
        let (add, _) = plugin.add_and_del(self.vm, self.lab.state().vmm).await?;
        recorder.keep("add", Unit::Milliseconds, plugin.side(), add);
        Ok(())
    }
}
