//! What is measured on each side, always from the asker to the server.

use super::{Options, sides::Side};
use crate::{
    load::{ProcessorTime, connections, requests, seconds_per_gib, transfer},
    metric::{Recorder, Unit},
};
use anyhow::Context as _;
use std::time::Duration;

/// Enough to learn addresses and to open a window.
const WARM_UP_BYTES: &str = "4M";
const WARM_UP: Duration = Duration::from_millis(100);
const MANY_STREAMS: u32 = 8;

/// One kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    OneStream,
    ManyStreams,
    TcpRequests,
    UdpRequests,
    Connections,
}

impl Quantity {
    pub(super) const ALL: [Self; 5] =
        [Self::OneStream, Self::ManyStreams, Self::TcpRequests, Self::UdpRequests, Self::Connections];

    pub(super) fn is_transfer(self) -> bool {
        matches!(self, Self::OneStream | Self::ManyStreams)
    }

    /// Measures it once on `side`.
    pub(super) async fn take(
        self,
        side: &Side,
        options: &Options,
        processor: &ProcessorTime,
        recorder: &mut Recorder,
    ) -> anyhow::Result<()> {
        let failed = || format!("measure {self:?} on the way {:?}", side.name);
        let (asker, server) = (&side.asker, &side.server);
        match self {
            Self::OneStream => {
                let names = ["throughput-1", "cpu-1"];
                move_bytes(side, 1, names, options, processor, recorder).await.with_context(failed)?;
            }
            Self::ManyStreams => {
                let names = ["throughput-8", "cpu-8"];
                move_bytes(side, MANY_STREAMS, names, options, processor, recorder)
                    .await
                    .with_context(failed)?;
            }
            Self::TcpRequests => {
                let told = requests(asker, server, "tcp", options.requests).await.with_context(failed)?;
                recorder.keep("tcp-p50", Unit::Microseconds, side.name, told.p50);
                recorder.keep("tcp-p99", Unit::Microseconds, side.name, told.p99);
            }
            Self::UdpRequests => {
                let told = requests(asker, server, "udp", options.requests).await.with_context(failed)?;
                recorder.keep("udp-p50", Unit::Microseconds, side.name, told.p50);
                recorder.keep("udp-p99", Unit::Microseconds, side.name, told.p99);
            }
            Self::Connections => {
                let told = connections(asker, server, options.requests).await.with_context(failed)?;
                recorder.keep("connections", Unit::PerSecond, side.name, told);
            }
        }
        Ok(())
    }
}

async fn move_bytes(
    side: &Side,
    streams: u32,
    [throughput, cpu]: [&'static str; 2],
    options: &Options,
    processor: &ProcessorTime,
    recorder: &mut Recorder,
) -> anyhow::Result<()> {
    let before = processor.now();
    let seconds = options.transfer.as_secs().max(1).to_string();
    let moved = transfer(&side.asker, &side.server, streams, ["-t", &seconds]).await?;
    recorder.keep(throughput, Unit::MegabitsPerSecond, side.name, moved.megabits_per_second);
    if let (Some(before), Some(after)) = (before, processor.now()) {
        let cost = seconds_per_gib(before, after, moved.bytes);
        recorder.keep(cpu, Unit::SecondsPerGib, side.name, cost);
    }
    Ok(())
}

/// Lets both ends find each other.
pub(super) async fn warm_up(side: &Side) -> anyhow::Result<()> {
    let failed = || format!("reach the server on the way {:?}", side.name);
    let (asker, server) = (&side.asker, &side.server);
    transfer(asker, server, 1, ["-n", WARM_UP_BYTES]).await.with_context(failed)?;
    for protocol in ["tcp", "udp"] {
        requests(asker, server, protocol, WARM_UP).await.with_context(failed)?;
    }
    connections(asker, server, WARM_UP).await.with_context(failed)?;
    Ok(())
}
