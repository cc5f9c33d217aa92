//! Runs any suite: builds its lab, has the sides take turns round by round, keeps every sample, and removes the lab.

use crate::{
    interleave::turns,
    machine::{Machine, Revision},
    metric::Recorder,
    report::Report,
    suite::{Prepared, Suite},
};
use nestless_lab::{Lab, Progress, Vmm};
use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

/// Measures in a lab called `lab`, which is built for it and removed, also after a failure.
///
/// # Errors
/// When the lab cannot be built or removed, or a program in it fails.
pub async fn run<S: Suite>(suite: &S, vmm: Vmm, lab: &str, progress: &Progress) -> anyhow::Result<Report> {
    let (began, clock) = (SystemTime::now(), Instant::now());
    let builder = Lab::builder(lab).progress(progress.clone()).vmm(vmm);
    let lab = Box::pin(suite.furnish(builder, vmm).up()).await?;
    let machine = Machine::look(&lab);
    let mut recorder = Recorder::default();
    let measured = Box::pin(measure_in(suite, &lab, progress, &mut recorder)).await;
    lab.down().await?;
    let parameters = suite.parameters().into_iter();
    Ok(Report {
        bench: S::BENCH,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: Revision::look(),
        machine,
        began_unix_s: began.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        took_s: clock.elapsed().as_secs_f64(),
        rounds: suite.rounds(),
        parameters: parameters.map(|(name, value)| (name.to_owned(), value)).collect(),
        metrics: recorder.metrics(S::PAIRS, suite.rounds()),
        counts: measured?,
    })
}

/// What was seen beside the samples.
async fn measure_in<S: Suite>(
    suite: &S,
    lab: &Lab,
    progress: &Progress,
    recorder: &mut Recorder,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut prepared = suite.prepare(lab, progress).await?;
    measure(&mut prepared, progress, recorder).await?;
    Ok(prepared.counts())
}

/// Measures every side, in turn, in a lab that is there.
///
/// # Errors
/// When a program in the lab fails.
pub async fn measure<P: Prepared>(
    prepared: &mut P,
    progress: &Progress,
    recorder: &mut Recorder,
) -> anyhow::Result<()> {
    progress.step("warm up");
    prepared.warm_up().await?;
    for phase in prepared.phases() {
        for round in 0..phase.rounds {
            progress.step(format!("{} {} of {}", phase.name, round + 1, phase.rounds));
            for samples in &phase.samples {
                for time in 0..samples.times {
                    for side in turns(samples.sides, round + time) {
                        prepared.take(samples.quantity, side, recorder).await?;
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metric::Unit,
        suite::{Phase, Samples},
    };

    /// Two sides; the samples are the numbers of the turns.
    struct Counted {
        turn: f64,
        warm: bool,
    }

    impl Prepared for Counted {
        type Quantity = &'static str;

        fn phases(&self) -> Vec<Phase<&'static str>> {
            let rounds = vec![
                Samples { quantity: "long", sides: 2, times: 1 },
                Samples { quantity: "short", sides: 2, times: 2 },
            ];
            let bursts = vec![Samples { quantity: "burst", sides: 1, times: 1 }];
            vec![
                Phase { name: "round", rounds: 2, samples: rounds },
                Phase { name: "burst", rounds: 3, samples: bursts },
            ]
        }

        async fn warm_up(&mut self) -> anyhow::Result<()> {
            self.warm = true;
            Ok(())
        }

        async fn take(
            &mut self,
            quantity: &'static str,
            side: usize,
            recorder: &mut Recorder,
        ) -> anyhow::Result<()> {
            assert!(self.warm);
            recorder.keep(quantity, Unit::Milliseconds, ["a", "b"][side], self.turn);
            self.turn += 1.0;
            Ok(())
        }
    }

    #[tokio::test]
    async fn sides_take_turns_within_every_round() {
        let mut recorder = Recorder::default();
        let mut counted = Counted { turn: 0.0, warm: false };
        measure(&mut counted, &Progress::default(), &mut recorder).await.unwrap();
        let metrics = recorder.metrics(&[], 2);
        let samples = |metric: usize, side: &str| metrics[metric].side(side).unwrap().samples.clone();
        assert_eq!((samples(0, "a"), samples(0, "b")), (vec![0.0, 7.0], vec![1.0, 6.0]));
        assert_eq!(samples(1, "a"), [2.0, 5.0, 9.0, 10.0], "whoever began a series ends the next one");
        assert_eq!(samples(2, "a").len(), 3);
    }
}
