//! What a suite is: what its lab must have, which sides it makes there, and how one sample is taken. The
//! [runner](crate::run) does all else.

use crate::{metric::Recorder, report::Bench};
use nestless_lab::{Lab, LabBuilder, Progress, Vmm};
use std::collections::BTreeMap;

/// A kind of measurement with what the user chose of it.
pub trait Suite {
    /// Its name in reports.
    const BENCH: Bench;
    /// Sides whose ratio is told: one, and the one that it is measured by.
    const PAIRS: &'static [(&'static str, &'static str)];
    /// What measures in a lab that is up.
    type Prepared<'lab>: Prepared;

    /// How often each side is measured.
    fn rounds(&self) -> usize;

    /// What else was chosen, by the names that reports have for it.
    fn parameters(&self) -> Vec<(&'static str, String)>;

    /// What its lab must have.
    fn furnish(&self, builder: LabBuilder, vmm: Vmm) -> LabBuilder;

    /// Makes the sides.
    ///
    /// # Errors
    /// When one of them cannot be made.
    fn prepare<'lab>(
        &self,
        lab: &'lab Lab,
        progress: &Progress,
    ) -> impl Future<Output = anyhow::Result<Self::Prepared<'lab>>>;
}

/// Sides in a lab, ready to be measured.
pub trait Prepared {
    /// What one sample is of.
    type Quantity: Copy;

    /// All that is measured, in order.
    fn phases(&self) -> Vec<Phase<Self::Quantity>>;

    /// Does once what is slower the first time, such as learning addresses. Nothing of it is kept.
    ///
    /// # Errors
    /// When a side does not work.
    fn warm_up(&mut self) -> impl Future<Output = anyhow::Result<()>>;

    /// Measures once on one side, counted from 0, and keeps what came out.
    ///
    /// # Errors
    /// When a program in the lab fails.
    fn take(
        &mut self,
        quantity: Self::Quantity,
        side: usize,
        recorder: &mut Recorder,
    ) -> impl Future<Output = anyhow::Result<()>>;

    /// What was seen beside the samples.
    fn counts(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

/// The same, again and again.
pub struct Phase<Q> {
    /// What one time is called: "round"
    pub name: &'static str,
    /// How often.
    pub rounds: usize,
    /// What is measured each time.
    pub samples: Vec<Samples<Q>>,
}

/// One quantity within a round. Its sides take turns.
pub struct Samples<Q> {
    /// Of what.
    pub quantity: Q,
    /// On how many sides.
    pub sides: usize,
    /// How often on each: what costs little and varies is measured more than once.
    pub times: usize,
}

/// How often something is measured, on the command line: never is no measurement.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("with none there is nothing to report: expected 1 or more".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}
