//! Large transfers, both ways at once, that a lost, doubled or moved packet would change.

use super::battery::{BOTH, BUFFER_BYTES, connect, serve_tcp};
use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    panic::resume_unwind,
    thread,
};

const BYTES: usize = 32 << 20;
const CHUNK_BYTES: usize = 65_536;

type Digest = [u8; 32];

/// Sends and receives so many bytes at the same time, those sent made from a seed that is not zero; then the ends tell each
/// other by SHA-256 what they have heard and said. What the other end does is the same, with another seed.
///
/// # Errors
/// When the connection breaks, or something arrives otherwise than it was sent.
pub fn both_ways(mut stream: &TcpStream, bytes: usize, seed: u64) -> Result<()> {
    let (said, heard) = thread::scope(|scope| {
        let sending = scope.spawn(|| send(stream, bytes, seed));
        let heard = receive(stream, bytes).context("receive");
        let said = sending.join().unwrap_or_else(|panic| resume_unwind(panic)).context("send");
        (said, heard)
    });
    let (said, heard) = (said?, heard?);
    stream.write_all(&[heard, said].concat()).context("tell what was heard and said")?;
    stream.shutdown(Shutdown::Write)?;
    let mut told = Vec::new();
    stream.read_to_end(&mut told).context("be told what was heard and said")?;
    ensure!(told.len() == 64, "{} bytes more came than were announced", told.len());
    ensure!(told[..32] == said, "what was sent arrived otherwise");
    ensure!(told[32..] == heard, "what arrived was sent otherwise");
    Ok(())
}

fn send(mut stream: &TcpStream, bytes: usize, mut state: u64) -> io::Result<Digest> {
    let (mut hash, mut left) = (Sha256::new(), bytes);
    while left > 0 {
        let words = std::iter::repeat_with(|| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let chunk: Vec<u8> = words.take(CHUNK_BYTES / 8).flatten().take(left).collect();
        stream.write_all(&chunk)?;
        hash.update(&chunk);
        left -= chunk.len();
    }
    Ok(hash.finalize().into())
}

fn receive(mut stream: &TcpStream, bytes: usize) -> io::Result<Digest> {
    let (mut hash, mut left, mut chunk) = (Sha256::new(), bytes, vec![0; BUFFER_BYTES]);
    while left > 0 {
        let most = left.min(chunk.len());
        let count = stream.read(&mut chunk[..most])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{left} bytes are missing")));
        }
        hash.update(&chunk[..count]);
        left -= count;
    }
    Ok(hash.finalize().into())
}

pub(super) fn serve(port: u16) -> Result<()> {
    for ip in BOTH {
        serve_tcp(SocketAddr::new(ip, port), |stream, _| both_ways(stream, BYTES, 2))?;
    }
    Ok(())
}

pub(super) fn ask(port: u16) -> Result<()> {
    for ip in BOTH {
        let stream = connect(SocketAddr::new(ip, port))?;
        both_ways(&stream, BYTES, 1).with_context(|| format!("transfers with {ip}"))?;
    }
    Ok(())
}
