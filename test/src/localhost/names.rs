//! Servers that tell who they are, and a client that tells whom it has met.

use super::battery::{BOTH, connect, serve_tcp, serve_udp, udp_to};
use crate::fractions::ask;
use anyhow::{Context as _, Result, ensure};
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Answers every question with its name and the question, by TCP and UDP.
///
/// # Errors
/// When the port is taken.
pub fn serve(name: &str, port: u16) -> Result<()> {
    let address = SocketAddr::new(BOTH[0], port);
    let (by_tcp, by_udp) = (name.to_owned(), name.to_owned());
    serve_tcp(address, move |mut stream, _| {
        let mut question = String::new();
        stream.read_to_string(&mut question)?;
        Ok(write!(stream, "{by_tcp} {question}")?)
    })?;
    serve_udp(address, move |question, _| [by_udp.as_bytes(), b" ", question].concat())
}

/// Puts so many questions by TCP and as many by UDP, and counts who has answered; each answer is to its question.
///
/// # Errors
/// When there is no answer, or one to another question.
pub fn meet(port: u16, count: usize) -> Result<BTreeMap<String, usize>> {
    let address = SocketAddr::new(BOTH[0], port);
    let mut met = BTreeMap::new();
    for number in 0..count {
        let question = number.to_string();
        let answer =
            ask(connect(address)?, &question).with_context(|| format!("ask {address} {question}"))?;
        *met.entry(format!("tcp {}", who(&answer, &question)?)).or_default() += 1;
        *met.entry(format!("udp {}", meet_by_udp(address, number)?)).or_default() += 1;
    }
    Ok(met)
}

/// Asks one more time on the same socket: it is the same one that answers, and the other one's answer does not come through.
fn meet_by_udp(address: SocketAddr, number: usize) -> Result<String> {
    let socket = udp_to(own_address(), address)?;
    let mut names = Vec::new();
    for question in [format!("{number} first"), format!("{number} again")] {
        let mut heard = [0; 64];
        socket.send(question.as_bytes())?;
        let count = socket.recv(&mut heard).with_context(|| format!("ask {address} {question} by UDP"))?;
        names.push(who(&String::from_utf8_lossy(&heard[..count]), &question)?.to_owned());
    }
    ensure!(names[0] == names[1], "{address} is first {} and then {} for one socket", names[0], names[1]);
    Ok(names.remove(0))
}

/// Of this process: a flow that an earlier one left, to a server that is gone, would take the first datagram with it.
fn own_address() -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 100, high, low).into()
}

fn who<'a>(answer: &'a str, question: &str) -> Result<&'a str> {
    let name = answer.strip_suffix(question).and_then(|rest| rest.strip_suffix(' '));
    name.with_context(|| format!("{answer:?} is no answer to {question:?}"))
}
