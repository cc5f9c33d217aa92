//! HTTP/2 by hand, as an agent never speaks it.

use std::{path::Path, time::Duration};
use tokio::{io::AsyncWriteExt as _, net::UnixStream, time::timeout};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A write that takes so long is not taken any more, which is as good an end of a flood as any.
const STALLED: Duration = Duration::from_secs(2);

/// An HTTP/2 frame (RFC 9113, 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The fields of a call, none of them compressed (RFC 7541, 6.2.2).
pub(crate) fn call_fields(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "nestlessd"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// One field, not compressed; both texts are short.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// A call with an empty message, whole.
pub(crate) fn empty_call(path: &str, stream: u32) -> Vec<u8> {
    let begun = frame(HEADERS, END_HEADERS, stream, &call_fields(path));
    [begun, frame(DATA, END_STREAM, stream, &[0; 5])].concat()
}

/// A connection that nobody reads from.
pub(crate) struct Deaf(UnixStream);

impl Deaf {
    /// `None` when nobody takes it.
    pub(crate) async fn connect(socket: &Path, settings: &[u8]) -> Option<Self> {
        let mut deaf = Self(UnixStream::connect(socket).await.ok()?);
        let greeting = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
        deaf.say(&greeting).await.then_some(deaf)
    }

    /// Whether it was taken.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(STALLED, self.0.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Says it so many times, or until it is not taken any more.
    pub(crate) async fn repeat(&mut self, bytes: &[u8], times: usize) {
        const AT_ONCE: usize = 100;
        let many = bytes.repeat(AT_ONCE);
        for _ in 0..times / AT_ONCE {
            if !self.say(&many).await {
                return;
            }
        }
    }
}
