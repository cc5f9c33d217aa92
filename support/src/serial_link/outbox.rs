//! What the link has to say, kept so that it never grows: each kind of control frame is a latch, and the data waits in
//! the session's own pipe. The reading side can therefore always answer without waiting for the writing side, and two
//! ends cannot block one another.

use super::frame::{Frame, Kind, MAX_PAYLOAD};
use std::{
    io,
    sync::{Mutex, MutexGuard},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf},
    sync::Notify,
};

/// Where a session's outgoing bytes come from.
pub(super) struct Source {
    pub(super) session: u64,
    pub(super) bytes: ReadHalf<DuplexStream>,
}

/// Latched orders to the writing side.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) knock: bool,
    pub(super) reset: Option<u64>,
    pub(super) hello: Option<u64>,
    pub(super) welcome: Option<u64>,
    /// `Some(None)` stops sending data.
    pub(super) source: Option<Option<Source>>,
}

#[derive(Default)]
pub(super) struct Outbox {
    orders: Mutex<Orders>,
    changed: Notify,
}

impl Outbox {
    /// Changes the orders and wakes the writing side.
    pub(super) fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    /// Writes what is ordered, control frames first, until the channel breaks.
    pub(super) async fn write_to(&self, mut io: impl AsyncWrite + Unpin) -> io::Error {
        let mut source = None;
        let mut sequence = 0;
        let mut piece = vec![0; MAX_PAYLOAD];
        loop {
            let mut orders = std::mem::take(&mut *self.lock());
            if let Some(new) = orders.source.take() {
                (source, sequence) = (new, 0);
            }
            let mut wire: Vec<u8> = orders.frames().flat_map(|frame| frame.encode()).collect();
            if wire.is_empty() {
                let read = tokio::select! {
                    biased;
                    () = self.changed.notified() => continue,
                    read = next_piece(&mut source, &mut piece) => read,
                };
                match (read, &source) {
                    (Some(length), Some(Source { session, .. })) => {
                        wire = Frame::data(*session, sequence, &piece[..length]).encode();
                        sequence = sequence.wrapping_add(1);
                    }
                    // The session's user is done: the peer learns it behind the last byte.
                    (None, Some(Source { session, .. })) => {
                        wire = Frame::control(Kind::Reset, *session).encode();
                        source = None;
                    }
                    (_, None) => continue,
                }
            }
            if let Err(error) = write(&mut io, &wire).await {
                return error;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().expect("nothing panics while it holds the orders")
    }
}

impl Orders {
    fn frames(&self) -> impl Iterator<Item = Frame> {
        [
            self.knock.then(|| Frame::control(Kind::Knock, 0)),
            self.reset.map(|session| Frame::control(Kind::Reset, session)),
            self.hello.map(|session| Frame::control(Kind::Hello, session)),
            self.welcome.map(|session| Frame::control(Kind::Welcome, session)),
        ]
        .into_iter()
        .flatten()
    }
}

/// How many bytes were put into `piece`; `None` at the end; waits for ever without a source.
async fn next_piece(source: &mut Option<Source>, piece: &mut [u8]) -> Option<usize> {
    match source {
        Some(source) => source.bytes.read(piece).await.ok().filter(|length| *length > 0),
        None => std::future::pending().await,
    }
}

async fn write(io: &mut (impl AsyncWrite + Unpin), wire: &[u8]) -> io::Result<()> {
    io.write_all(wire).await?;
    io.flush().await
}

/// Reads once: the bytes read, or why there are none.
pub(super) async fn read_some(io: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> io::Result<usize> {
    match io.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(length),
    }
}
