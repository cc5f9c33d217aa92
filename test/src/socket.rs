//! Sockets as the tests want them, made in the calling thread's network namespace.

use crate::PATIENCE;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

/// A socket of the address's family, by which TCP ([`Type::STREAM`]) or UDP ([`Type::DGRAM`]) can be spoken.
///
/// # Errors
/// When the kernel has none to give.
pub fn open(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    Socket::new(Domain::for_address(address), kind, Some(protocol))
}

/// Makes calls end with an error when nothing comes for so long that nothing will.
///
/// # Panics
/// When the kernel refuses.
pub fn patient(socket: &Socket) {
    socket.set_read_timeout(Some(PATIENCE)).expect("a receive time-out");
    socket.set_write_timeout(Some(PATIENCE)).expect("a send time-out");
}

/// Makes it a listener, which another one of the same address may join.
///
/// # Errors
/// When the address is taken.
pub fn listen(socket: Socket, address: SocketAddr) -> io::Result<TcpListener> {
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Makes it one that datagrams come to.
///
/// # Errors
/// When the address is taken.
pub fn bind(socket: Socket, address: SocketAddr) -> io::Result<UdpSocket> {
    socket.bind(&address.into())?;
    Ok(socket.into())
}
