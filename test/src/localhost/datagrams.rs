//! UDP: datagrams of any size come whole, and answers come from where the questions went.

use super::battery::{BOTH, BUFFER_BYTES, serve_udp, udp, udp_to};
use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use std::net::{SocketAddr, UdpSocket};

const ROUNDS: usize = 100;
/// Nothing, one byte, the most that fits Ethernet's MTU and one more, some fragments, and the most that IPv4 carries.
const SIZES: [usize; 6] = [0, 1, 1472, 1473, 40_000, 65_507];
/// IPv6's length does not count its own header.
const MOST_BY_IPV6: usize = 65_527;
const SEGMENT_BYTES: usize = 1000;
const SEGMENTS: usize = 10;

/// Echoes.
pub(super) fn serve(port: u16) -> Result<()> {
    BOTH.into_iter().try_for_each(|ip| serve_udp(SocketAddr::new(ip, port), |said, _| said.to_vec()))
}

pub(super) fn ask(port: u16) -> Result<()> {
    for ip in BOTH {
        let socket = udp(ip)?;
        (0..ROUNDS).try_for_each(|bytes| exchange(&socket, SocketAddr::new(ip, port), bytes))?;
    }
    Ok(())
}

pub(super) fn ask_connected(port: u16) -> Result<()> {
    for ip in BOTH {
        let socket = udp_to(ip, SocketAddr::new(ip, port))?;
        for bytes in 0..ROUNDS {
            let text = text(bytes);
            socket.send(&text)?;
            hear(&socket, &text).with_context(|| format!("{bytes} bytes of {ip}"))?;
        }
    }
    Ok(())
}

pub(super) fn ask_sizes(port: u16) -> Result<()> {
    for ip in BOTH {
        let socket = udp(ip)?;
        let most = ip.is_ipv6().then_some(MOST_BY_IPV6);
        SIZES
            .into_iter()
            .chain(most)
            .try_for_each(|bytes| exchange(&socket, SocketAddr::new(ip, port), bytes))?;
    }
    Ok(())
}

/// One send of several datagrams (`UDP_SEGMENT`).
pub(super) fn ask_in_segments(port: u16) -> Result<()> {
    for ip in BOTH {
        let socket = udp_to(ip, SocketAddr::new(ip, port))?;
        setsockopt(&socket, UdpGsoSegment, &i32::try_from(SEGMENT_BYTES)?)?;
        let text = text(SEGMENTS * SEGMENT_BYTES);
        socket.send(&text)?;
        for (number, segment) in text.chunks(SEGMENT_BYTES).enumerate() {
            hear(&socket, segment).with_context(|| format!("segment {number} of {ip}"))?;
        }
    }
    Ok(())
}

/// A datagram there, and the same one back from the very address it was sent to.
fn exchange(socket: &UdpSocket, to: SocketAddr, bytes: usize) -> Result<()> {
    let text = text(bytes);
    let mut heard = vec![0; BUFFER_BYTES];
    socket.send_to(&text, to).with_context(|| format!("send {bytes} bytes to {to}"))?;
    let (count, from) =
        socket.recv_from(&mut heard).with_context(|| format!("receive {bytes} bytes from {to}"))?;
    ensure!(from == to, "{to} answers as {from}");
    ensure!(heard[..count] == text, "{bytes} bytes from {to} come as {count}, or otherwise");
    Ok(())
}

fn hear(socket: &UdpSocket, text: &[u8]) -> Result<()> {
    let mut heard = vec![0; BUFFER_BYTES];
    let count = socket.recv(&mut heard)?;
    ensure!(heard[..count] == *text, "{} bytes come as {count}, or otherwise", text.len());
    Ok(())
}

/// Differs for each number of bytes, and from place to place in it.
fn text(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|byte| (byte * 7 + byte / 256 + bytes) as u8).collect()
}
