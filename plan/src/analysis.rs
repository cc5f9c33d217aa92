//! All clients of a fleet, each compared on its own, on as many threads as wanted.

use crate::fleet::Fleet;
use nestless_placement::{
    Catalogue, Client, Comparison, Effort, Hostlo, Kubernetes, PlacementError, Rules, Splitting, Strategy,
    Task, Terms, compare, lower_bound,
};
use rayon::prelude::*;
use std::cmp::Reverse;

/// Uses so many threads from now on; all processors otherwise. To be called once, before any work.
///
/// # Errors
/// When threads were made already, or cannot be made.
pub fn use_threads(threads: usize) -> Result<(), rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()
}

/// What is compared.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// What can be bought.
    pub catalogue: &'a Catalogue,
    /// Hosts, fractions and effort.
    pub terms: Terms,
    /// The one way to place; `None` for the best that any finds.
    pub strategy: Option<&'a dyn Strategy>,
    /// Whether pods that no VM can hold are left out and listed, or end the comparison.
    pub lenient: bool,
}

/// One client's plans.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The client, less the pods that were left out.
    pub client: Client,
    /// Its plans and bounds.
    pub comparison: Comparison,
    /// Why each of those pods was left out.
    pub unplaced: Vec<PlacementError>,
}

/// Compares every client; the results are in the fleet's order. `done` is called after each, from any thread.
///
/// # Errors
/// The first client's error, in the fleet's order, when the question is not lenient; and any error that names no pod.
pub fn analyse(
    fleet: &Fleet,
    question: Question<'_>,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Outcome>, PlacementError> {
    let mut order: Vec<usize> = (0..fleet.clients().len()).collect();
    // The largest first: a large client that came last would keep one thread busy and the others waiting.
    order.sort_by_key(|&index| Reverse(containers(&fleet.clients()[index])));
    let mut outcomes: Vec<_> = order
        .into_par_iter()
        .with_max_len(1)
        .map(|index| {
            let outcome = outcome(&fleet.clients()[index], question);
            done();
            (index, outcome)
        })
        .collect();
    outcomes.sort_unstable_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

impl Question<'_> {
    fn ask(&self, client: &Client) -> Result<Comparison, PlacementError> {
        match self.strategy {
            None => compare(client, self.catalogue, self.terms),
            Some(strategy) => self.ask_one(client, strategy),
        }
    }

    /// One strategy, with whole pods and with split ones, beside the scheduler and the post-pass.
    fn ask_one(&self, client: &Client, chosen: &dyn Strategy) -> Result<Comparison, PlacementError> {
        let catalogue = self.catalogue;
        let Terms { hosts, max_fractions, .. } = self.terms;
        let whole = Task { client, catalogue, rules: Rules { splitting: Splitting::Whole, hosts } };
        let split = Task { rules: Rules { splitting: Splitting::Split { max_fractions }, hosts }, ..whole };
        let as_is = Kubernetes.place(whole)?;
        let whole_plan =
            if chosen.name() == Kubernetes.name() { as_is.clone() } else { chosen.place(whole)? };
        let split_plan = chosen.place(split)?;
        // Whole pods are a split plan too.
        let is_better = whole_plan.score(catalogue) < split_plan.score(catalogue);
        Ok(Comparison {
            as_is_hostlo: Hostlo.place(split)?,
            whole_bound: lower_bound(whole, CONTINUOUS)?,
            split_bound: lower_bound(split, CONTINUOUS)?,
            split: if is_better { whole_plan.clone() } else { split_plan },
            whole: whole_plan,
            as_is,
        })
    }
}

/// One strategy is asked for when speed counts: the bound that costs nothing to prove has to do.
const CONTINUOUS: Effort = Effort { columns: 0, ..Effort::DEFAULT };

fn containers(client: &Client) -> usize {
    client.pods.iter().map(|pod| pod.containers.len()).sum()
}

fn outcome(client: &Client, question: Question<'_>) -> Result<Outcome, PlacementError> {
    let mut client = client.clone();
    let mut unplaced = Vec::new();
    loop {
        match question.ask(&client) {
            Ok(comparison) => return Ok(Outcome { client, comparison, unplaced }),
            Err(error) if question.lenient => {
                let before = client.pods.len();
                let culprit = culprit(&error).map(str::to_owned);
                client.pods.retain(|pod| culprit.as_deref() != Some(pod.name.as_str()));
                if client.pods.len() == before {
                    return Err(error);
                }
                unplaced.push(error);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The pod without which there would be a plan.
fn culprit(error: &PlacementError) -> Option<&str> {
    match error {
        PlacementError::NoContainers { pod, .. }
        | PlacementError::NoSuchContainer { pod, .. }
        | PlacementError::NoSizeAdmitted { pod, .. }
        | PlacementError::FitsNoSize { pod, .. }
        | PlacementError::Exhausted { pod, .. }
        | PlacementError::Unsatisfiable { pod, .. } => Some(pod),
        _ => None,
    }
}
