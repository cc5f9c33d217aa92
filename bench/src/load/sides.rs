//! Ways that are compared: the same traffic on each, and what a sample of it is.

use super::{
    processor::{ProcessorTime, seconds_per_gib},
    station::Station,
    traffic::{connections, requests, transfer},
};
use crate::{
    metric::{Recorder, Unit},
    suite::{Phase, Prepared, Samples},
};
use anyhow::Context as _;
use nestless_lab::Lab;
use std::{sync::Arc, time::Duration};

/// Enough to learn addresses and to open a window.
const WARM_UP_BYTES: &str = "4M";
const WARM_UP: Duration = Duration::from_millis(100);

/// A way between two stations.
#[derive(Clone)]
pub struct Side {
    /// Among the results.
    pub name: &'static str,
    /// The end that asks.
    pub asker: Arc<Station>,
    /// The end that is asked.
    pub server: Arc<Station>,
}

/// An end of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The end that asks.
    Asker,
    /// The end that is asked.
    Server,
}

/// One kind of traffic, with the names of its metrics.
#[derive(Clone, Copy, Debug)]
pub enum Traffic {
    /// As much as fits on so many TCP connections at once.
    Transfer {
        /// The end that receives.
        to: End,
        /// How many connections.
        streams: u32,
        /// Metric of what arrives.
        throughput: &'static str,
        /// Metric of the processor time that it takes.
        cpu: &'static str,
    },
    /// One request after the other.
    Requests {
        /// "tcp", "udp"
        protocol: &'static str,
        /// Metric of the median.
        p50: &'static str,
        /// Metric of the 99th percentile.
        p99: &'static str,
    },
    /// One TCP connection after the other.
    Connections {
        /// Metric of how many.
        per_second: &'static str,
    },
}

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    /// How often each side is measured.
    pub rounds: usize,
    /// How long each transfer, in whole seconds.
    pub transfer: Duration,
    /// How long each series of requests, and of connections.
    pub requests: Duration,
    /// How many series a round: they cost little, and vary.
    pub series: usize,
}

/// Sides, and the traffic that is measured on each of them.
pub struct Load {
    sides: Vec<Side>,
    traffic: &'static [Traffic],
    lengths: Lengths,
    processor: ProcessorTime,
}

impl Lengths {
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        vec![
            ("transfer-s", self.transfer.as_secs().to_string()),
            ("requests-ms", self.requests.as_millis().to_string()),
            ("series-per-round", self.series.to_string()),
        ]
    }
}

impl Load {
    pub(crate) fn new(lab: &Lab, sides: Vec<Side>, traffic: &'static [Traffic], lengths: Lengths) -> Self {
        Self { sides, traffic, lengths, processor: ProcessorTime::of(lab) }
    }
}

impl Prepared for Load {
    type Quantity = Traffic;

    fn phases(&self) -> Vec<Phase<Traffic>> {
        let samples = self.traffic.iter().map(|&quantity| Samples {
            quantity,
            sides: self.sides.len(),
            times: if quantity.is_transfer() { 1 } else { self.lengths.series },
        });
        vec![Phase { name: "round", rounds: self.lengths.rounds, samples: samples.collect() }]
    }

    /// Lets both ends of each way find each other.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        for side in &self.sides {
            for traffic in self.traffic {
                let reached = traffic.try_on(side).await;
                reached.with_context(|| format!("reach both ends of the way {}", side.name))?;
            }
        }
        Ok(())
    }

    async fn take(&mut self, traffic: Traffic, side: usize, recorder: &mut Recorder) -> anyhow::Result<()> {
        let side = &self.sides[side];
        let measured = traffic.measure(side, self.lengths, &self.processor, recorder).await;
        measured.with_context(|| format!("measure {} on the way {}", traffic.name(), side.name))
    }
}

impl Traffic {
    fn is_transfer(self) -> bool {
        matches!(self, Self::Transfer { .. })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Transfer { throughput: name, .. }
            | Self::Requests { p50: name, .. }
            | Self::Connections { per_second: name } => name,
        }
    }

    /// A little of it, for nothing but that it has been.
    async fn try_on(self, side: &Side) -> anyhow::Result<()> {
        match self {
            Self::Transfer { to, streams, .. } => {
                let (from, to) = side.towards(to);
                transfer(from, to, streams, ["-n", WARM_UP_BYTES]).await.map(drop)
            }
            Self::Requests { protocol, .. } => {
                requests(&side.asker, &side.server, protocol, WARM_UP).await.map(drop)
            }
            Self::Connections { .. } => connections(&side.asker, &side.server, WARM_UP).await.map(drop),
        }
    }

    async fn measure(
        self,
        side: &Side,
        lengths: Lengths,
        processor: &ProcessorTime,
        recorder: &mut Recorder,
    ) -> anyhow::Result<()> {
        match self {
            Self::Transfer { to, streams, throughput, cpu } => {
                let (from, to) = side.towards(to);
                let before = processor.now();
                let seconds = lengths.transfer.as_secs().max(1).to_string();
                let moved = transfer(from, to, streams, ["-t", &seconds]).await?;
                recorder.keep(throughput, Unit::MegabitsPerSecond, side.name, moved.megabits_per_second);
                if let (Some(before), Some(after)) = (before, processor.now()) {
                    let cost = seconds_per_gib(before, after, moved.bytes);
                    recorder.keep(cpu, Unit::SecondsPerGib, side.name, cost);
                }
            }
            Self::Requests { protocol, p50, p99 } => {
                let told = requests(&side.asker, &side.server, protocol, lengths.requests).await?;
                recorder.keep(p50, Unit::Microseconds, side.name, told.p50);
                recorder.keep(p99, Unit::Microseconds, side.name, told.p99);
            }
            Self::Connections { per_second } => {
                let told = connections(&side.asker, &side.server, lengths.requests).await?;
                recorder.keep(per_second, Unit::PerSecond, side.name, told);
            }
        }
        Ok(())
    }
}

impl Side {
    /// From the other end to this one.
    fn towards(&self, end: End) -> (&Station, &Station) {
        match end {
            End::Server => (&self.asker, &self.server),
            End::Asker => (&self.server, &self.asker),
        }
    }
}
