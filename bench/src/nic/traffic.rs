//! What is sent, and what is read off it.

use super::{
    Options, PROBE, Station, Way,
    processor::ProcessorTime,
    station::{PROBE_PORT, TRANSFER_PORT},
};
use crate::metric::{Recorder, Unit};
use anyhow::{Context as _, ensure};
use nestless_lab::Exec;
use serde_json::Value;
use std::time::Duration;

/// Enough to learn addresses and to open a window.
const WARM_UP_BYTES: &str = "4M";
const GIB: f64 = (1u64 << 30) as f64;
const WARM_UP_REQUESTS: Duration = Duration::from_millis(100);

/// One kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    Out,
    In,
    TcpRequests,
    UdpRequests,
}

/// A transfer's outcome.
struct Transfer {
    megabits_per_second: f64,
    bytes: f64,
}

/// A series of requests' outcome, in microseconds.
struct Requests {
    p50: f64,
    p99: f64,
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
                let transfer = transfer(from, to, ["-t", &seconds]).await?;
                recorder.keep(names.0, Unit::MegabitsPerSecond, way.side, transfer.megabits_per_second);
                if let (Some(before), Some(after)) = (before, processor.now()) {
                    let seconds = after.saturating_sub(before).as_secs_f64();
                    recorder.keep(names.1, Unit::SecondsPerGib, way.side, seconds / transfer.bytes * GIB);
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
    transfer(way.inside, way.outside, ["-n", WARM_UP_BYTES]).await.with_context(asked)?;
    transfer(way.outside, way.inside, ["-n", WARM_UP_BYTES]).await.with_context(asked)?;
    for protocol in ["tcp", "udp"] {
        requests(way.outside, way.inside, protocol, WARM_UP_REQUESTS).await.with_context(asked)?;
    }
    Ok(())
}

async fn transfer(from: &Station, to: &Station, length: [&str; 2]) -> anyhow::Result<Transfer> {
    let (address, port) = (to.address().to_string(), TRANSFER_PORT.to_string());
    let words = ["iperf3", "-J", "-i", "0", "-c", &address, "-p", &port].into_iter().chain(length);
    let output = from.run(Exec::new(words)).await?;
    let report: Value = serde_json::from_slice(&output.stdout).context("read iperf3's report")?;
    let received = &report["end"]["sum_received"];
    let number =
        |name: &str| received[name].as_f64().with_context(|| format!("iperf3's report has no {name}"));
    let (bits_per_second, bytes) = (number("bits_per_second")?, number("bytes")?);
    ensure!(bytes > 0.0, "iperf3 moved nothing from one end to {address}");
    Ok(Transfer { megabits_per_second: bits_per_second / 1e6, bytes })
}

async fn requests(
    from: &Station,
    to: &Station,
    protocol: &str,
    length: Duration,
) -> anyhow::Result<Requests> {
    let address = std::net::SocketAddr::new(to.address(), PROBE_PORT).to_string();
    let exec = Exec::new([PROBE, "ask", protocol, &address, &length.as_millis().to_string()]);
    let output = from.run(exec).await?;
    let report: Value = serde_json::from_slice(&output.stdout).context("read the probe's report")?;
    let number =
        |name: &str| report[name].as_f64().with_context(|| format!("the probe's report has no {name}"));
    Ok(Requests { p50: number("p50_us")?, p99: number("p99_us")? })
}
