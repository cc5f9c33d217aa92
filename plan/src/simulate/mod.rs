//! Replay over time: pods come and go, VMs are bought when a pod needs one and given back when they are empty.
//!
//! Both sides decide online, without knowing what comes. *As it is*: the fullest VM that still holds the pod
//! (Kubernetes' MostAllocated score), else the cheapest new VM. *Split*: the same, but a pod that no VM holds is first
//! spread over the room that VMs have left, and a new VM is bought for the rest only, where that is cheaper.
//! A pod never moves.

mod bill;
mod pool;

pub use bill::{Bill, Billing};

use crate::fleet::{Fleet, Lifetime};
use bill::{HOUR_US, SECOND_US};
use nestless_placement::{Catalogue, Client, Constraints, Resources};
use pool::{Pool, Slot};
use rayon::prelude::*;

/// Why there is no replay.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SimulationError {
    /// A demand on other pods or on labels, which a replay does not follow.
    #[error(
        "pod {pod} of client {client} selects nodes or relates to other pods; a replay knows CPU and memory only"
    )]
    Constrained {
        /// Who pays.
        client: String,
        /// The pod.
        pod: String,
    },
}

/// What a replay found, over all clients.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Replay {
    /// Whole pods.
    pub as_is: Bill,
    /// Split pods.
    pub split: Bill,
    /// Below which no bill can be: every moment's requests at the best rates of the catalogue, without whole VMs.
    pub bound_usd: f64,
    /// Pods that came.
    pub arrivals: u64,
    /// Pods that left.
    pub departures: u64,
    /// Pods that no VM holds; they are in neither bill nor bound.
    pub refused: u64,
    /// From the first arrival to the last event.
    pub seconds: u64,
}

/// Replays a fleet, client by client, on all threads.
///
/// # Errors
/// When a pod has constraints that a replay does not follow.
pub fn simulate(
    fleet: &Fleet,
    catalogue: &Catalogue,
    billing: Billing,
    max_fractions: Option<u32>,
) -> Result<Replay, SimulationError> {
    for client in fleet.clients() {
        if let Some(pod) = client.pods.iter().find(|pod| pod.constraints != Constraints::default()) {
            return Err(SimulationError::Constrained { client: client.name.clone(), pod: pod.name.clone() });
        }
    }
    let lifetimes = || (0..fleet.clients().len()).flat_map(|client| fleet.lifetimes(client));
    let moments = || lifetimes().flat_map(|life| [Some(life.arrives_us), life.departs_us]).flatten();
    let begin = lifetimes().map(|life| life.arrives_us).min().unwrap_or(0);
    // The trace writes 2^63 - 1 for what happened after its end.
    let end = moments().filter(|&moment| moment != i64::MAX as u64).max().unwrap_or(0);
    let side = |index: usize, most: u32| {
        let (client, lives) = (&fleet.clients()[index], fleet.lifetimes(index));
        let mut replay = ClientReplay::new(client, lives, catalogue, billing, most);
        replay.run(end);
        replay
    };
    let replays: Vec<_> = (0..fleet.clients().len())
        .into_par_iter()
        .map(|index| (side(index, 1), side(index, max_fractions.unwrap_or(u32::MAX))))
        .collect();
    let mut sum = Replay { seconds: (end - begin) / SECOND_US, ..Replay::default() };
    for (whole, split) in &replays {
        sum.as_is.add(whole.pool.bill());
        sum.split.add(split.pool.bill());
        sum.bound_usd += whole.bound_usd;
        sum.arrivals += whole.arrivals;
        sum.departures += whole.departures;
        sum.refused += whole.refused;
    }
    Ok(sum)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    /// Room is freed before it is asked for at the same moment.
    Departs,
    Arrives,
}

struct ClientReplay<'a> {
    client: &'a Client,
    events: Vec<(u64, Change, usize)>,
    pool: Pool<'a>,
    placed: Vec<Vec<Slot>>,
    max_fractions: u32,
    catalogue: &'a Catalogue,
    requested: Resources,
    bound_usd: f64,
    arrivals: u64,
    departures: u64,
    refused: u64,
}

impl<'a> ClientReplay<'a> {
    fn new(
        client: &'a Client,
        lives: &[Lifetime],
        catalogue: &'a Catalogue,
        billing: Billing,
        max_fractions: u32,
    ) -> Self {
        let mut events: Vec<_> = lives
            .iter()
            .enumerate()
            .flat_map(|(pod, life)| {
                let leaves = life.departs_us.map(|end| (end, Change::Departs, pod));
                [Some((life.arrives_us, Change::Arrives, pod)), leaves]
            })
            .flatten()
            .collect();
        events.sort_unstable();
        Self {
            client,
            events,
            pool: Pool::new(catalogue, billing.unit_us()),
            placed: vec![Vec::new(); client.pods.len()],
            max_fractions,
            catalogue,
            requested: Resources::ZERO,
            bound_usd: 0.0,
            arrivals: 0,
            departures: 0,
            refused: 0,
        }
    }

    fn run(&mut self, end: u64) {
        let mut now = 0;
        for (moment, change, pod) in std::mem::take(&mut self.events) {
            if moment > end {
                continue;
            }
            self.pass(now, moment);
            now = moment;
            match change {
                Change::Arrives => self.arrives(now, pod),
                Change::Departs => self.departs(now, pod),
            }
        }
        self.pass(now, end);
        self.pool.close(end);
    }

    /// Time passes: what is requested meanwhile has its price at best.
    fn pass(&mut self, from: u64, to: u64) {
        let hours = (to - from) as f64 / HOUR_US as f64;
        self.bound_usd += best_rate(self.requested, self.catalogue) * hours;
    }

    fn arrives(&mut self, now: u64, index: usize) {
        self.arrivals += 1;
        let pod = &self.client.pods[index];
        self.pool.release(now);
        let placed = self.pool.place(now, pod, self.max_fractions);
        if placed.is_empty() {
            self.refused += 1;
        } else {
            self.requested += pod.request();
        }
        self.placed[index] = placed;
    }

    fn departs(&mut self, now: u64, index: usize) {
        self.departures += 1;
        let placed = std::mem::take(&mut self.placed[index]);
        if placed.is_empty() {
            return;
        }
        self.requested = self.requested.saturating_sub(self.client.pods[index].request());
        self.pool.remove(now, &placed);
    }
}

/// Dollars an hour for `requested` where CPU and memory are each bought at the best rate of any size.
fn best_rate(requested: Resources, catalogue: &Catalogue) -> f64 {
    let best = |amount: u64, of: fn(Resources) -> u64| {
        let rates = catalogue.sizes().iter().map(|size| size.price.dollars() / of(size.allocatable()) as f64);
        amount as f64 * rates.fold(f64::INFINITY, f64::min)
    };
    best(requested.cpu_milli, |all| all.cpu_milli).max(best(requested.memory_bytes, |all| all.memory_bytes))
}

#[cfg(test)]
mod tests;
