//! Ends of connections: the servers of the battery live as long as the process, and the askers are patient.

use crate::socket;
use anyhow::{Context as _, Result};
use socket2::{SockAddr, Socket, Type};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

/// Localhost.
pub(super) const BOTH: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
/// The largest datagram fits.
pub(super) const BUFFER_BYTES: usize = 65_536;

/// Handles the connections to an address, one after another.
pub(super) fn serve_tcp(
    address: SocketAddr,
    handle: impl Fn(&TcpStream, SocketAddr) -> Result<()> + Send + 'static,
) -> Result<()> {
    let listen = || socket::listen(socket::open(address, Type::STREAM)?, address);
    accept(listen().with_context(|| format!("listen at {address}"))?, handle);
    Ok(())
}

/// Handles a listener's connections, one after another.
pub(super) fn accept(
    listener: TcpListener,
    handle: impl Fn(&TcpStream, SocketAddr) -> Result<()> + Send + 'static,
) {
    thread::spawn(move || {
        loop {
            let handled = listener.accept().context("accept a connection").and_then(|(stream, peer)| {
                let socket = Socket::from(stream);
                socket::patient(&socket);
                handle(&socket.into(), peer)
                    .with_context(|| format!("serve {peer} at {:?}", listener.local_addr()))
            });
            if let Err(error) = handled {
                eprintln!("{error:#}");
            }
        }
    });
}

/// Answers each datagram to an address with what `answer` makes of it and its sender.
pub(super) fn serve_udp(
    address: SocketAddr,
    answer: impl Fn(&[u8], SocketAddr) -> Vec<u8> + Send + 'static,
) -> Result<()> {
    let bind = || socket::bind(socket::open(address, Type::DGRAM)?, address);
    reply(bind().with_context(|| format!("receive at {address}"))?, answer);
    Ok(())
}

/// Answers each datagram to a socket.
pub(super) fn reply(socket: UdpSocket, answer: impl Fn(&[u8], SocketAddr) -> Vec<u8> + Send + 'static) {
    thread::spawn(move || {
        let mut heard = vec![0; BUFFER_BYTES];
        loop {
            // Of an asker that is gone already the next call may tell.
            let answered = socket
                .recv_from(&mut heard)
                .and_then(|(count, from)| socket.send_to(&answer(&heard[..count], from), from));
            if let Err(error) = answered {
                eprintln!("answer datagrams to {:?}: {error}", socket.local_addr());
            }
        }
    });
}

/// A connection.
pub(super) fn connect(address: SocketAddr) -> Result<TcpStream> {
    connect_from(None, address)
}

/// A connection from an address of this end's choice.
pub(super) fn connect_from(source: Option<IpAddr>, address: SocketAddr) -> Result<TcpStream> {
    let connected = || {
        let socket = socket::open(address, Type::STREAM)?;
        socket::patient(&socket);
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect(&SockAddr::from(address))?;
        socket.set_tcp_nodelay(true)?;
        std::io::Result::Ok(TcpStream::from(socket))
    };
    connected().with_context(|| format!("connect to {address}"))
}

/// A patient socket for datagrams, from a port of the kernel's choice.
pub(super) fn udp(source: IpAddr) -> Result<UdpSocket> {
    let address = SocketAddr::new(source, 0);
    let bound = || {
        let socket = socket::open(address, Type::DGRAM)?;
        socket::patient(&socket);
        socket::bind(socket, address)
    };
    bound().with_context(|| format!("send from {source}"))
}

/// The same, connected.
pub(super) fn udp_to(source: IpAddr, to: SocketAddr) -> Result<UdpSocket> {
    let socket = udp(source)?;
    socket.connect(to).with_context(|| format!("connect to {to}"))?;
    Ok(socket)
}
