//! TCP: that connections are made and end as on one machine.

use super::battery::{BOTH, accept, connect, serve_tcp};
use crate::socket;
use anyhow::{Context as _, Result, ensure};
use socket2::Type;
use std::{
    collections::BTreeSet,
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    panic::resume_unwind,
    thread,
};

const ROUNDS: u32 = 1000;
/// Short connections in all, and who make them at the same time.
const SHORT: usize = 10_000;
const ASKERS: usize = 8;
/// That chance gives all of them to one of two listeners happens once in 10^60 runs.
const SHARED: usize = 200;
const GREETING: &str = "hello";

/// Echoes.
pub(super) fn serve(port: u16) -> Result<()> {
    for ip in BOTH {
        serve_tcp(SocketAddr::new(ip, port), |mut stream, _| {
            io::copy(&mut &*stream, &mut stream).context("echo")?;
            Ok(())
        })?;
    }
    Ok(())
}

pub(super) fn ask(port: u16) -> Result<()> {
    for ip in BOTH {
        let address = SocketAddr::new(ip, port);
        let mut stream = connect(address)?;
        let ends = (stream.local_addr()?.ip(), stream.peer_addr()?);
        ensure!(ends == (ip, address), "a connection to {address} has the ends {ends:?}");
        for round in 0..ROUNDS {
            stream.write_all(&round.to_be_bytes())?;
            expect(&stream, &round.to_be_bytes()).with_context(|| format!("round {round} with {address}"))?;
        }
        stream.shutdown(Shutdown::Write)?;
        expect_end(&stream).with_context(|| format!("the end of the echo of {address}"))?;
    }
    Ok(())
}

/// Speaks when it has heard everything.
pub(super) fn serve_half_closed(port: u16) -> Result<()> {
    for ip in BOTH {
        serve_tcp(SocketAddr::new(ip, port), |mut stream, _| {
            let mut said = Vec::new();
            stream.read_to_end(&mut said)?;
            stream.write_all(&said)?;
            for round in 0..ROUNDS {
                stream.write_all(&round.to_be_bytes())?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

pub(super) fn ask_half_closed(port: u16) -> Result<()> {
    for ip in BOTH {
        let mut stream = connect(SocketAddr::new(ip, port))?;
        stream.write_all(b"this half")?;
        stream.shutdown(Shutdown::Write)?;
        expect(&stream, b"this half").context("hear what the closed half has said")?;
        for round in 0..ROUNDS {
            expect(&stream, &round.to_be_bytes())
                .with_context(|| format!("round {round} of the other half"))?;
        }
        expect_end(&stream)?;
    }
    Ok(())
}

/// Greets, and closes first: TIME_WAIT is the server's.
pub(super) fn serve_shortly(port: u16) -> Result<()> {
    serve_tcp(SocketAddr::new(BOTH[0], port), |mut stream, _| Ok(stream.write_all(GREETING.as_bytes())?))
}

pub(super) fn ask_shortly(port: u16) -> Result<()> {
    let address = SocketAddr::new(BOTH[0], port);
    let ask = |asker: usize| {
        for number in 0..SHORT / ASKERS {
            let name = || format!("connection {number} of asker {asker}");
            let heard = hear(address).with_context(name)?;
            ensure!(heard == GREETING, "{} brought {heard:?}", name());
        }
        Ok(())
    };
    thread::scope(|scope| {
        let asking: Vec<_> = (0..ASKERS).map(|asker| scope.spawn(move || ask(asker))).collect();
        asking.into_iter().try_for_each(|asking| asking.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Two listeners at one port.
pub(super) fn serve_together(port: u16) -> Result<()> {
    let address = SocketAddr::new(BOTH[0], port);
    for name in ["one", "two"] {
        let listener = socket::listen(socket::open(address, Type::STREAM)?, address)?;
        accept(listener, |mut stream, _| Ok(stream.write_all(name.as_bytes())?));
    }
    Ok(())
}

pub(super) fn ask_together(port: u16) -> Result<()> {
    let mut names = BTreeSet::new();
    for number in 0..SHARED {
        names.insert(hear(SocketAddr::new(BOTH[0], port)).with_context(|| format!("connection {number}"))?);
    }
    ensure!(names.iter().eq(["one", "two"]), "connections were answered by {names:?}");
    Ok(())
}

/// What is said to one who says nothing.
fn hear(address: SocketAddr) -> Result<String> {
    let mut heard = String::new();
    connect(address)?.read_to_string(&mut heard)?;
    Ok(heard)
}

fn expect(mut stream: &TcpStream, bytes: &[u8]) -> Result<()> {
    let mut heard = vec![0; bytes.len()];
    stream.read_exact(&mut heard)?;
    ensure!(heard == bytes, "{heard:?} came instead of {bytes:?}");
    Ok(())
}

fn expect_end(mut stream: &TcpStream) -> Result<()> {
    let count = stream.read(&mut [0; 64])?;
    ensure!(count == 0, "{count} bytes came instead of the end");
    Ok(())
}
