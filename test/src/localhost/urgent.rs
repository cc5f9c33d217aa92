//! One urgent byte between others (tcp(7), `MSG_OOB`).

use super::battery::{BOTH, connect, serve_tcp};
use crate::PATIENCE;
use anyhow::{Context as _, Result, ensure};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, recv},
};
use socket2::SockRef;
use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _},
};

const BEFORE: &[u8] = b"before";
const URGENT: &[u8] = b"!";
const AFTER: &[u8] = b"after";

/// Says three words, the second with urgency, and closes its half.
///
/// # Errors
/// When the connection breaks.
pub fn say(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(BEFORE)?;
    SockRef::from(stream).send_out_of_band(URGENT)?;
    stream.write_all(AFTER)?;
    stream.shutdown(Shutdown::Write)
}

/// Hears the urgent word first, and the others where they belong: reading stops where the urgent one was said.
///
/// # Errors
/// When anything else comes.
pub fn hear(mut stream: &TcpStream) -> Result<()> {
    let mut watched = [PollFd::new(stream.as_fd(), PollFlags::POLLPRI)];
    let ready = poll(&mut watched, PollTimeout::try_from(PATIENCE).context("so patient")?)?;
    ensure!(ready == 1, "nothing urgent comes");
    let (mut urgent, mut words, mut rest) = ([0; 9], [0; 64], Vec::new());
    let count = recv(stream.as_raw_fd(), &mut urgent, MsgFlags::MSG_OOB).context("hear what is urgent")?;
    ensure!(&urgent[..count] == URGENT, "{:?} is urgent", &urgent[..count]);
    let count = stream.read(&mut words).context("hear what came before")?;
    ensure!(&words[..count] == BEFORE, "{:?} came before", &words[..count]);
    stream.read_to_end(&mut rest).context("hear what came after")?;
    ensure!(rest == AFTER, "{rest:?} came after");
    Ok(())
}

pub(super) fn serve(port: u16) -> Result<()> {
    for ip in BOTH {
        serve_tcp(SocketAddr::new(ip, port), |stream, _| {
            hear(stream)?;
            say(stream).context("answer with urgency")
        })?;
    }
    Ok(())
}

pub(super) fn ask(port: u16) -> Result<()> {
    for ip in BOTH {
        let stream = connect(SocketAddr::new(ip, port))?;
        say(&stream).context("say something with urgency")?;
        hear(&stream).with_context(|| format!("the answer of {ip}"))?;
    }
    Ok(())
}
