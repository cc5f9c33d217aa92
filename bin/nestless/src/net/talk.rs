//! A word there and back, by TCP or UDP. A socket stays in the namespace where it was made, whichever thread uses it.

use anyhow::{Context as _, anyhow, ensure};
use nestless_support::netns::Namespace;
use nix::poll::{PollFd, PollFlags, poll};
use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

const WORD: &[u8; 8] = b"nestless";
/// Long enough for a SYN that is lost three times.
const PATIENCE: Duration = Duration::from_secs(8);
/// How soon a listener notices that it is over.
const SLICE_MS: u8 = 50;
/// How often a datagram is sent.
const TRIES: u32 = 8;

/// A program in `server` listens at `at`, and one in `client` connects to `to`. Blocks for some seconds at most.
///
/// # Errors
/// When the word does not come back.
pub(crate) fn talk_tcp(
    server: &Namespace,
    at: SocketAddr,
    client: &Namespace,
    to: SocketAddr,
) -> anyhow::Result<()> {
    let listener =
        server.run_blocking(|| TcpListener::bind(at))?.with_context(|| format!("listen on {at}"))?;
    listener.set_nonblocking(true)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| until(&over, &listener, || answer_stream(&listener)));
        let said = client.run_blocking(|| say(to));
        over.store(true, Ordering::Relaxed);
        said?
    })
}

/// The same with datagrams.
///
/// # Errors
/// When the word does not come back.
pub(crate) fn talk_udp(
    server: &Namespace,
    at: SocketAddr,
    client: &Namespace,
    to: SocketAddr,
) -> anyhow::Result<()> {
    let listener = server.run_blocking(|| UdpSocket::bind(at))?.with_context(|| format!("listen on {at}"))?;
    listener.set_nonblocking(true)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| until(&over, &listener, || answer_datagram(&listener)));
        let said = client.run_blocking(|| say_datagram(to));
        over.store(true, Ordering::Relaxed);
        said?
    })
}

/// Connects, from the namespace of the calling thread; a refusal is an answer too.
///
/// # Errors
/// When nothing comes back.
pub(crate) fn connect(to: SocketAddr) -> anyhow::Result<()> {
    match TcpStream::connect_timeout(&to, PATIENCE) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(anyhow!(error).context(format!("connect to {to}"))),
    }
}

fn say(to: SocketAddr) -> anyhow::Result<()> {
    let connect = || format!("connect to {to}");
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).with_context(connect)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut heard = [0; WORD.len()];
    stream
        .write_all(WORD)
        .and_then(|()| stream.read_exact(&mut heard))
        .with_context(|| format!("hear an answer of {to}"))?;
    ensure!(heard == *WORD, "{to} answered something else");
    Ok(())
}

fn say_datagram(to: SocketAddr) -> anyhow::Result<()> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to).with_context(|| format!("send to {to}"))?;
    socket.set_read_timeout(Some(PATIENCE / TRIES))?;
    let mut heard = [0; WORD.len()];
    let mut last = io::Error::from(ErrorKind::TimedOut);
    for _ in 0..TRIES {
        match socket.send(WORD).and_then(|_| socket.recv(&mut heard)) {
            Ok(length) if heard[..length] == *WORD => return Ok(()),
            Ok(_) => {}
            Err(error) => last = error,
        }
    }
    Err(anyhow!(last).context(format!("hear an answer of {to}")))
}

fn answer_stream(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut heard = [0; WORD.len()];
    stream.read_exact(&mut heard)?;
    stream.write_all(&heard)
}

fn answer_datagram(socket: &UdpSocket) -> io::Result<()> {
    let mut heard = [0; WORD.len()];
    let (length, from) = socket.recv_from(&mut heard)?;
    socket.send_to(&heard[..length], from)?;
    Ok(())
}

/// Answers whoever comes, strangers among them, until it is over.
fn until(over: &AtomicBool, socket: impl AsFd, mut answer: impl FnMut() -> io::Result<()>) {
    while !over.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, SLICE_MS) == Ok(1) {
            // Who called hears nothing then, and says so.
            let _ = answer();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_answers_and_who_does_not_is_told() {
        let (here, elsewhere) = (Namespace::anonymous().unwrap(), Namespace::anonymous().unwrap());
        let up = || std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(here.run_blocking(up).unwrap().success());
        for at in ["127.0.0.1:18080", "[::1]:18080"].map(|at| at.parse::<SocketAddr>().unwrap()) {
            talk_tcp(&here, at, &here, at).unwrap();
            talk_udp(&here, at, &here, at).unwrap();
            let error = format!("{:#}", talk_tcp(&here, at, &elsewhere, at).unwrap_err());
            assert!(error.contains("connect to"), "{error}");
            assert!(talk_udp(&here, at, &elsewhere, at).is_err());
        }
    }
}
