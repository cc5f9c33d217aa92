//! Which addresses a listener serves: one of 127.0.0.0/8, one family, or both.

use super::{
    battery::{BOTH, BUFFER_BYTES, accept, connect, connect_from, reply, serve_tcp, serve_udp, udp},
    nobody::{is_refusal, refuses_tcp, refuses_udp},
};
use crate::socket;
use anyhow::{Context as _, Result, ensure};
use socket2::{Socket, Type};
use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

const SERVED: [Ipv4Addr; 4] = [
    Ipv4Addr::new(127, 0, 0, 2),
    Ipv4Addr::new(127, 1, 2, 3),
    Ipv4Addr::new(127, 128, 0, 1),
    Ipv4Addr::new(127, 255, 255, 254),
];
const SOURCES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 44, 44, 44), Ipv4Addr::new(127, 255, 255, 254)];
const ANOTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 5, 5, 5));
const NOBODYS: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);

/// Tells callers whom it takes them for.
pub(super) fn serve_whole(port: u16) -> Result<()> {
    for ip in SERVED {
        let address = SocketAddr::new(ip.into(), port);
        serve_tcp(address, |mut stream, peer| Ok(write!(stream, "{}", peer.ip())?))?;
        serve_udp(address, |_, peer| peer.ip().to_string().into_bytes())?;
    }
    Ok(())
}

pub(super) fn ask_whole(port: u16) -> Result<()> {
    for ip in SERVED {
        let address = SocketAddr::new(ip.into(), port);
        // Unless it is told otherwise, Linux chooses 127.0.0.1.
        let mut heard = String::new();
        connect(address)?.read_to_string(&mut heard)?;
        ensure!(heard == BOTH[0].to_string(), "{address} takes its caller for {heard:?}");
        for source in SOURCES {
            let mut heard = String::new();
            connect_from(Some(source.into()), address)?.read_to_string(&mut heard)?;
            ensure!(heard == source.to_string(), "{address} takes {source} for {heard:?} by TCP");
            is_told(source, address)?;
        }
    }
    refuses_tcp(SocketAddr::new(NOBODYS.into(), port))?;
    refuses_udp(SocketAddr::new(NOBODYS.into(), port))
}

/// By UDP, whom the server takes it for.
fn is_told(source: Ipv4Addr, address: SocketAddr) -> Result<()> {
    let (socket, mut heard) = (udp(source.into())?, [0; 64]);
    socket.send_to(b"who am I?", address)?;
    let received = socket.recv_from(&mut heard);
    let (count, from) = received.with_context(|| format!("{address} does not answer {source}"))?;
    ensure!(from == address, "{address} answers as {from}");
    let told = String::from_utf8_lossy(&heard[..count]);
    ensure!(told == source.to_string(), "{address} takes {source} for {told:?} by UDP");
    Ok(())
}

/// A listener at every address of a family, or of both.
struct Any {
    ip: IpAddr,
    only_v6: bool,
    serves: [bool; 2],
}

/// One behind the other, at ports that follow each other.
const ANYS: [Any; 3] = [
    Any { ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED), only_v6: false, serves: [true, true] },
    Any { ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED), only_v6: true, serves: [false, true] },
    Any { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), only_v6: false, serves: [true, false] },
];

fn anys(port: u16) -> impl Iterator<Item = (&'static Any, u16)> {
    ANYS.iter().zip(port..)
}

impl Any {
    fn socket(&self, port: u16, kind: Type) -> Result<(Socket, SocketAddr)> {
        let address = SocketAddr::new(self.ip, port);
        let socket = socket::open(address, kind)?;
        if self.ip.is_ipv6() {
            socket.set_only_v6(self.only_v6)?;
        }
        Ok((socket, address))
    }
}

pub(super) fn serve_tcp_families(port: u16) -> Result<()> {
    for (any, port) in anys(port) {
        let (socket, address) = any.socket(port, Type::STREAM)?;
        accept(socket::listen(socket, address)?, |mut stream, peer| {
            Ok(write!(stream, "{}", peer.ip().to_canonical())?)
        });
    }
    Ok(())
}

pub(super) fn ask_tcp_families(port: u16) -> Result<()> {
    for (any, port) in anys(port) {
        let [by_v4, by_v6] = any.serves;
        for (ip, own, served) in
            [(BOTH[0], BOTH[0], by_v4), (ANOTHER, BOTH[0], by_v4), (BOTH[1], BOTH[1], by_v6)]
        {
            let address = SocketAddr::new(ip, port);
            let mut heard = String::new();
            match connect(address) {
                Ok(mut stream) => stream.read_to_string(&mut heard).map(drop)?,
                Err(error) => ensure!(is_refusal(&error) && !served, error),
            }
            let expected = if served { own.to_string() } else { String::new() };
            ensure!(heard == expected, "{address} says {heard:?} instead of {expected:?}");
        }
    }
    Ok(())
}

pub(super) fn serve_udp_families(port: u16) -> Result<()> {
    for (any, port) in anys(port) {
        let (socket, address) = any.socket(port, Type::DGRAM)?;
        reply(socket::bind(socket, address)?, |said, _| said.to_vec());
    }
    Ok(())
}

pub(super) fn ask_udp_families(port: u16) -> Result<()> {
    for (any, port) in anys(port) {
        for (ip, served) in BOTH.into_iter().zip(any.serves) {
            let address = SocketAddr::new(ip, port);
            if !served {
                refuses_udp(address)?;
                continue;
            }
            let (socket, mut heard) = (udp(ip)?, vec![0; BUFFER_BYTES]);
            socket.send_to(b"both?", address)?;
            let (count, from) = socket.recv_from(&mut heard).with_context(|| format!("hear {address}"))?;
            ensure!((&heard[..count], from) == (b"both?", address), "{address} answers otherwise, as {from}");
        }
    }
    Ok(())
}
