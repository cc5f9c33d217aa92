//! What is measured on each way.

use super::{Options, Way};
use crate::{
    load::{ProcessorTime, requests, seconds_per_gib, transfer},
    metric::{Recorder, Unit},
};
use anyhow::Context as _;
use std::time::Duration;

/// Enough to learn addresses and to open a window.
const WARM_UP_BYTES: &str = "4M";
const WARM_UP_REQUESTS: Duration = Duration::from_millis(100);

/// One kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    Out,
    In,
    TcpRequests,
    UdpRequests,
}

impl Quantity {
    pub(super) const ALL: [Self; 4] = [Self::Out, Self::In, Self::TcpRequests, Self::UdpRequests];

    pub(super) fn is_transfer(self) -> bool {
        matches!(self, Self::Out | Self::In)
    }

    /// Measures it once on `way`.
    pub(super) async fn take(
        self,
        way: &Way<'_>,
        options: &Options,
        processor: &ProcessorTime,
        recorder: &mut Recorder,
    ) -> anyhow::Result<()> {
        let names = match self {
            Self::Out => ("throughput-out", "cpu-out"),
            Self::In => ("throughput-in", "cpu-in"),
            Self::TcpRequests => ("tcp-p50", "tcp-p99"),
            Self::UdpRequests => ("udp-p50", "udp-p99"),
        };
        match self {
            Self::Out | Self::In => {
                let (from, to) =
                    if self == Self::Out { (way.inside, way.outside) } else { (way.outside, way.inside) };
                let before = processor.now();
                let seconds = options.transfer.as_secs().max(1).to_string();
                let transfer = transfer(from, to, 1, ["-t", &seconds]).await?;
                recorder.keep(names.0, Unit::MegabitsPerSecond, way.side, transfer.megabits_per_second);
                if let (Some(before), Some(after)) = (before, processor.now()) {
                    let cost = seconds_per_gib(before, after, transfer.bytes);
                    recorder.keep(names.1, Unit::SecondsPerGib, way.side, cost);
                }
            }
            Self::TcpRequests | Self::UdpRequests => {
                let protocol = if self == Self::TcpRequests { "tcp" } else { "udp" };
                let requests = requests(way.outside, way.inside, protocol, options.requests).await?;
                recorder.keep(names.0, Unit::Microseconds, way.side, requests.p50);
                recorder.keep(names.1, Unit::Microseconds, way.side, requests.p99);
            }
        }
        Ok(())
    }
}

/// Lets both ends find each other.
pub(super) async fn warm_up(way: &Way<'_>) -> anyhow::Result<()> {
    let asked = || format!("reach both ends of the way {:?}", way.side);
    transfer(way.inside, way.outside, 1, ["-n", WARM_UP_BYTES]).await.with_context(asked)?;
    transfer(way.outside, way.inside, 1, ["-n", WARM_UP_BYTES]).await.with_context(asked)?;
    for protocol in ["tcp", "udp"] {
        requests(way.outside, way.inside, protocol, WARM_UP_REQUESTS).await.with_context(asked)?;
    }
    Ok(())
}
