//! What is sent, and what is read off it.

use super::station::{CONNECTION_PORT, PROBE, PROBE_PORT, Station, TRANSFER_PORT};
use anyhow::{Context as _, bail, ensure};
use nestless_lab::Exec;
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};

/// How often a server that is busy is asked again.
const BUSY_TRIES: usize = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// A transfer's outcome.
pub(crate) struct Transfer {
    pub(crate) megabits_per_second: f64,
    pub(crate) bytes: f64,
}

/// A series of requests' outcome, in microseconds.
pub(crate) struct Requests {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// As much as fits on so many TCP connections at once; `length` are iperf3's words for when it ends.
pub(crate) async fn transfer(
    from: &Station,
    to: &Station,
    streams: u32,
    length: [&str; 2],
) -> anyhow::Result<Transfer> {
    let (address, port) = (to.address().to_string(), TRANSFER_PORT.to_string());
    let streams = streams.to_string();
    let words = ["iperf3", "-J", "-i", "0", "-P", &streams, "-c", &address, "-p", &port];
    let exec = Exec::new(words.into_iter().chain(length));
    let mut report = answer(from, exec.clone()).await?;
    // The server takes leave of the last client for as long as a slow way needs to bring the rest, and tells nobody when it is done.
    for _ in 0..BUSY_TRIES {
        if !report["error"].as_str().is_some_and(|error| error.contains("busy")) {
            break;
        }
        tokio::time::sleep(BUSY_PAUSE).await;
        report = answer(from, exec.clone()).await?;
    }
    if let Some(error) = report["error"].as_str() {
        bail!("iperf3 to {address}: {error}");
    }
    let received = &report["end"]["sum_received"];
    let (bits_per_second, bytes) = (number(received, "bits_per_second")?, number(received, "bytes")?);
    ensure!(bytes > 0.0, "iperf3 moved nothing from one end to {address}");
    Ok(Transfer { megabits_per_second: bits_per_second / 1e6, bytes })
}

/// One request after the other, each of 64 bytes and answered by as many; `protocol` is "tcp" or "udp".
pub(crate) async fn requests(
    from: &Station,
    to: &Station,
    protocol: &str,
    length: Duration,
) -> anyhow::Result<Requests> {
    let address = SocketAddr::new(to.address(), PROBE_PORT).to_string();
    let words = [PROBE, "ask", protocol, &address, &length.as_millis().to_string()];
    let report = answer(from, Exec::new(words)).await?;
    Ok(Requests { p50: number(&report, "p50_us")?, p99: number(&report, "p99_us")? })
}

/// One connection after the other, with one request each; how many a second. One that is refused is an error.
pub(crate) async fn connections(from: &Station, to: &Station, length: Duration) -> anyhow::Result<f64> {
    let address = SocketAddr::new(to.address(), CONNECTION_PORT).to_string();
    let words = [PROBE, "connect", &address, &length.as_millis().to_string()];
    number(&answer(from, Exec::new(words)).await?, "per_s")
}

async fn answer(from: &Station, exec: Exec) -> anyhow::Result<Value> {
    let line = exec.line();
    let output = from.run(exec).await?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("read what `{line}` reports"))
}

fn number(report: &Value, name: &str) -> anyhow::Result<f64> {
    report[name].as_f64().with_context(|| format!("the report has no {name}: {report}"))
}
