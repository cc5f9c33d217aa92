//! Nobody listens, and says so.

use super::battery::{BOTH, connect, udp_to};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

const ADDRESSES: [IpAddr; 3] = [BOTH[0], IpAddr::V4(Ipv4Addr::new(127, 3, 2, 1)), BOTH[1]];

/// Nobody listens at a port, by either protocol.
///
/// # Errors
/// When somebody does, or it is not said at all.
pub fn listens(port: u16) -> Result<()> {
    ask_by_tcp(port)?;
    ask_by_udp(port)
}

pub(super) fn ask_by_tcp(port: u16) -> Result<()> {
    ADDRESSES.into_iter().try_for_each(|ip| refuses_tcp(SocketAddr::new(ip, port)))
}

pub(super) fn ask_by_udp(port: u16) -> Result<()> {
    ADDRESSES.into_iter().try_for_each(|ip| refuses_udp(SocketAddr::new(ip, port)))
}

/// A connection is refused.
pub(super) fn refuses_tcp(address: SocketAddr) -> Result<()> {
    match connect(address) {
        Ok(_) => bail!("somebody listens at {address}"),
        Err(error) => is_refusal(&error).then_some(()).ok_or(error),
    }
}

/// A datagram of a connected socket is refused.
pub(super) fn refuses_udp(address: SocketAddr) -> Result<()> {
    let own = if address.is_ipv4() { BOTH[0] } else { BOTH[1] };
    let socket = udp_to(own, address)?;
    socket.send(b"anybody?").with_context(|| format!("send to {address}"))?;
    let heard = socket.recv(&mut [0; 64]).with_context(|| format!("hear from {address}"));
    let error = heard.err().with_context(|| format!("somebody answers at {address}"))?;
    ensure!(is_refusal(&error), error);
    Ok(())
}

/// Whether it is ECONNREFUSED.
pub(super) fn is_refusal(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}
