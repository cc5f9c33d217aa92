//! The reading side of a link: sessions begin and end here.

use super::{
    frame::{Decoder, Frame, Kind},
    outbox::{Outbox, Source, read_some},
    stream::SerialStream,
};
use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, DuplexStream, WriteHalf},
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Bytes that may wait between the link and the user of a stream, in each direction.
const STREAM_BUFFER: usize = 64 * 1024;
/// A hello may be lost while no host is attached, so it is repeated: first soon, then at most this far apart.
const HELLO_FIRST: Duration = Duration::from_millis(50);
const HELLO_CAP: Duration = Duration::from_secs(2);

pub(super) enum Request {
    Connect(oneshot::Sender<SerialStream>),
    Accept(oneshot::Sender<SerialStream>),
}

struct Session {
    id: u64,
    /// Of the next data frame.
    sequence: u32,
    incoming: WriteHalf<DuplexStream>,
}

/// A hello that has not been answered.
struct Connecting {
    id: u64,
    reply: oneshot::Sender<SerialStream>,
    pause: Duration,
    next: Instant,
}

/// What an accepting end does with the next session.
enum Door {
    /// This end connects, or has done nothing yet.
    Shut,
    Waiting(oneshot::Sender<SerialStream>),
    /// A session came before it was asked for.
    Ready(SerialStream),
    Idle,
}

pub(super) struct Pump {
    requests: mpsc::Receiver<Request>,
    outbox: Arc<Outbox>,
    session: Option<Session>,
    connecting: Option<Connecting>,
    door: Door,
    /// The last session that ended: a repeated hello must not revive it.
    ended: Option<u64>,
}

impl Pump {
    pub(super) fn new(requests: mpsc::Receiver<Request>, outbox: Arc<Outbox>) -> Self {
        Self { requests, outbox, session: None, connecting: None, door: Door::Shut, ended: None }
    }

    /// Serves requests and frames until the channel breaks.
    pub(super) async fn read_from(mut self, mut io: impl AsyncRead + Unpin, first: Request) -> io::Error {
        self.serve(first).await;
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let next_hello = self.connecting.as_ref().map(|connecting| connecting.next);
            tokio::select! {
                Some(request) = self.requests.recv() => self.serve(request).await,
                read = read_some(&mut io, &mut buffer) => match read {
                    Ok(length) => for frame in decoder.push(&buffer[..length]) {
                        self.receive(frame).await;
                    },
                    Err(error) => return error,
                },
                () = tokio::time::sleep_until(next_hello.unwrap_or_else(Instant::now)), if next_hello.is_some() => self.repeat_hello(),
            }
        }
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Connect(reply) => {
                self.end_session().await;
                self.connecting =
                    Some(Connecting { id: random_id(), reply, pause: HELLO_FIRST, next: Instant::now() });
                self.repeat_hello();
            }
            Request::Accept(reply) => {
                if matches!(self.door, Door::Shut) {
                    self.outbox.order(|orders| orders.knock = true);
                }
                self.door = match std::mem::replace(&mut self.door, Door::Idle) {
                    Door::Ready(stream) => reply.send(stream).map_or_else(Door::Ready, |()| Door::Idle),
                    Door::Shut | Door::Waiting(_) | Door::Idle => Door::Waiting(reply),
                };
            }
        }
    }

    fn repeat_hello(&mut self) {
        match &mut self.connecting {
            // Nobody waits for it any more.
            Some(connecting) if connecting.reply.is_closed() => self.connecting = None,
            Some(connecting) => {
                let id = connecting.id;
                connecting.next = Instant::now() + connecting.pause;
                connecting.pause = (connecting.pause * 2).min(HELLO_CAP);
                self.outbox.order(|orders| orders.hello = Some(id));
            }
            None => {}
        }
    }

    async fn receive(&mut self, frame: Frame) {
        let accepts = !matches!(self.door, Door::Shut);
        match frame.kind {
            Kind::Hello if accepts => self.hello(frame.session).await,
            Kind::Welcome if !accepts => self.welcome(frame.session).await,
            Kind::Knock if !accepts => {
                self.end_session().await;
                if let Some(connecting) = &mut self.connecting {
                    connecting.pause = HELLO_FIRST;
                    self.repeat_hello();
                }
            }
            Kind::Data => self.data(frame).await,
            Kind::Reset => self.reset(frame.session).await,
            // Our own kind of greeting: another accepting or connecting end sits where the peer should be.
            Kind::Hello | Kind::Welcome | Kind::Knock => {}
        }
    }

    async fn hello(&mut self, id: u64) {
        if self.session.as_ref().is_some_and(|session| session.id == id) {
            self.outbox.order(|orders| orders.welcome = Some(id));
        } else if self.ended == Some(id) {
            self.outbox.order(|orders| orders.reset = Some(id));
        } else {
            self.end_session().await;
            self.outbox.order(|orders| orders.welcome = Some(id));
            let stream = self.open_session(id);
            self.door = match std::mem::replace(&mut self.door, Door::Idle) {
                Door::Waiting(reply) => reply.send(stream).map_or_else(Door::Ready, |()| Door::Idle),
                Door::Shut | Door::Idle | Door::Ready(_) => Door::Ready(stream),
            };
        }
    }

    async fn welcome(&mut self, id: u64) {
        if let Some(connecting) = self.connecting.take_if(|connecting| connecting.id == id) {
            let stream = self.open_session(id);
            if connecting.reply.send(stream).is_err() {
                self.end_session().await;
            }
        }
    }

    async fn data(&mut self, frame: Frame) {
        match &mut self.session {
            Some(session) if session.id == frame.session && session.sequence == frame.sequence => {
                session.sequence = session.sequence.wrapping_add(1);
                if session.incoming.write_all(&frame.payload).await.is_err() {
                    // Its user dropped it; the writing side says so to the peer.
                    self.ended = Some(frame.session);
                    self.session = None;
                }
            }
            Some(session) if session.id == frame.session => {
                self.end_session().await;
                self.outbox.order(|orders| orders.reset = Some(frame.session));
            }
            _ => self.outbox.order(|orders| orders.reset = Some(frame.session)),
        }
    }

    async fn reset(&mut self, id: u64) {
        if self.session.as_ref().is_some_and(|session| session.id == id) {
            self.end_session().await;
        }
        if let Some(connecting) = self.connecting.as_mut().filter(|connecting| connecting.id == id) {
            connecting.id = random_id();
            self.repeat_hello();
        }
    }

    fn open_session(&mut self, id: u64) -> SerialStream {
        let (ours, theirs) = tokio::io::duplex(STREAM_BUFFER);
        let (bytes, incoming) = tokio::io::split(ours);
        self.session = Some(Session { id, sequence: 0, incoming });
        self.outbox.order(|orders| orders.source = Some(Some(Source { session: id, bytes })));
        SerialStream(theirs)
    }

    async fn end_session(&mut self) {
        if let Some(mut session) = self.session.take() {
            self.ended = Some(session.id);
            self.outbox.order(|orders| orders.source = Some(None));
            // The writing side may be stuck and hold its half; the user must see the end nevertheless.
            let _ = session.incoming.shutdown().await;
        }
    }
}

/// Not secret, only never the same twice: the keys are random in every process and differ at every call.
fn random_id() -> u64 {
    RandomState::new().build_hasher().finish()
}
