//! Request and response, back to back: the smallest program that measures a network's latency, here and in guests.
//!
//! ```text
//! nestless-probe serve PORT ONCE                        answers each message with itself, TCP and UDP; on TCP port
//!                                                       ONCE only the first, and ends the connection
//! nestless-probe ask tcp|udp ADDRESS:PORT MILLISECONDS  one JSON line: {"count":..,"lost":..,"p50_us":..,"p99_us":..}
//! nestless-probe connect ADDRESS:ONCE MILLISECONDS      connects anew for each message: {"count":..,"per_s":..}
//! ```
#![expect(clippy::print_stdout, reason = "its answer")]

use anyhow::{Context as _, Result, bail, ensure};
use nestless_bench::percentile;
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

/// Of a request, and of a response.
const MESSAGE_BYTES: usize = 64;
/// Until a datagram counts as lost, and a connection as broken.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", port, once] => serve(port.parse().context("PORT")?, once.parse().context("ONCE")?),
        ["connect", to, duration] => {
            let to = to.parse().context("ADDRESS:ONCE")?;
            let duration = Duration::from_millis(duration.parse().context("MILLISECONDS")?);
            let (count, per_s) = connect(to, duration)?;
            println!(r#"{{"count":{count},"per_s":{per_s:.1}}}"#);
            Ok(())
        }
        ["ask", protocol, to, duration] => {
            let to = to.parse().context("ADDRESS:PORT")?;
            let duration = Duration::from_millis(duration.parse().context("MILLISECONDS")?);
            let (samples, lost) = match *protocol {
                "tcp" => (ask_tcp(to, duration)?, 0),
                "udp" => ask_udp(to, duration)?,
                other => bail!("{other:?} is neither tcp nor udp"),
            };
            ensure!(!samples.is_empty(), "no answer from {to} within {duration:?}");
            let at = |rank| percentile(&samples, rank).unwrap_or_default();
            let (count, p50, p99) = (samples.len(), at(0.5), at(0.99));
            println!(r#"{{"count":{count},"lost":{lost},"p50_us":{p50:.3},"p99_us":{p99:.3}}}"#);
            Ok(())
        }
        _ => bail!(
            "usage: nestless-probe serve PORT ONCE | ask tcp|udp ADDRESS:PORT MILLISECONDS | \
             connect ADDRESS:ONCE MILLISECONDS"
        ),
    }
}

fn serve(port: u16, once: u16) -> Result<()> {
    let tcp = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).context("listen for TCP")?;
    let short = TcpListener::bind((Ipv6Addr::UNSPECIFIED, once)).context("listen for short connections")?;
    let udp = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).context("listen for UDP")?;
    println!("ready");
    std::io::stdout().flush()?;
    thread::spawn(move || answer_datagrams(&udp));
    thread::spawn(move || short.incoming().flatten().for_each(answer_once));
    for stream in tcp.incoming() {
        let stream = stream.context("accept a connection")?;
        thread::spawn(move || answer_stream(stream));
    }
    Ok(())
}

/// An asker that is gone is no failure of ours.
fn answer_stream(mut stream: TcpStream) -> Option<()> {
    let mut message = [0; MESSAGE_BYTES];
    stream.set_nodelay(true).ok()?;
    loop {
        stream.read_exact(&mut message).ok()?;
        stream.write_all(&message).ok()?;
    }
}

/// This side ends the connection, so that it is this side's port that has to rest: the asker's are soon used up.
fn answer_once(mut stream: TcpStream) {
    let mut message = [0; MESSAGE_BYTES];
    if stream.read_exact(&mut message).is_ok() {
        // An asker that is gone is no failure of ours.
        let _ = stream.write_all(&message);
    }
}

fn answer_datagrams(socket: &UdpSocket) {
    let mut message = [0; MESSAGE_BYTES];
    loop {
        // An error tells of an asker that is gone, and of none that will come.
        if let Ok((length, from)) = socket.recv_from(&mut message) {
            let _ = socket.send_to(&message[..length], from);
        }
    }
}

fn ask_tcp(to: SocketAddr, duration: Duration) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).with_context(|| format!("connect to {to}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut message = [0; MESSAGE_BYTES];
    let mut samples = Vec::new();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        let began = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message).with_context(|| format!("wait for {to}"))?;
        samples.push(microseconds(began.elapsed()));
    }
    Ok(samples)
}

/// How many connections, and how many a second.
fn connect(to: SocketAddr, duration: Duration) -> Result<(u32, f64)> {
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < duration {
        let mut stream =
            TcpStream::connect_timeout(&to, PATIENCE).with_context(|| format!("connect to {to}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&[0; MESSAGE_BYTES])?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).with_context(|| format!("wait for {to}"))?;
        ensure!(answer.len() == MESSAGE_BYTES, "{to} answered with {} bytes", answer.len());
        count += 1;
    }
    ensure!(count > 0, "no connection to {to} within {duration:?}");
    Ok((count, f64::from(count) / began.elapsed().as_secs_f64()))
}

fn ask_udp(to: SocketAddr, duration: Duration) -> Result<(Vec<f64>, u64)> {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut samples, mut lost) = (Vec::new(), 0);
    let end = Instant::now() + duration;
    for number in 0u64.. {
        if Instant::now() >= end {
            break;
        }
        let mut request = [0; MESSAGE_BYTES];
        request[..8].copy_from_slice(&number.to_be_bytes());
        let began = Instant::now();
        socket.send(&request)?;
        match answer(&socket, number) {
            Ok(()) => samples.push(microseconds(began.elapsed())),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => lost += 1,
            Err(error) => return Err(error).with_context(|| format!("ask {to}")),
        }
    }
    Ok((samples, lost))
}

/// The answer to request `number`; late ones to earlier requests are passed over.
fn answer(socket: &UdpSocket, number: u64) -> std::io::Result<()> {
    let mut response = [0; MESSAGE_BYTES];
    loop {
        let length = socket.recv(&mut response)?;
        if length == MESSAGE_BYTES && response[..8] == number.to_be_bytes() {
            return Ok(());
        }
    }
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
