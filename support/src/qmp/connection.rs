//! The two tasks of a connection, and the table of commands that wait for their answers.

use super::{
    error::LostReason,
    wire::{Event, Lines, Message},
};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
};
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::{broadcast, mpsc, oneshot},
};
use tokio_util::task::AbortOnDropHandle;

/// Events a slow receiver may fall behind.
const EVENT_BACKLOG: usize = 1024;

/// A command on its way.
pub(super) struct Order {
    pub(super) command: &'static str,
    pub(super) arguments: Value,
    pub(super) descriptor: Option<OwnedFd>,
    pub(super) reply: oneshot::Sender<Result<Value, QemuError>>,
}

/// QEMU's error.
pub(super) struct QemuError {
    pub(super) class: String,
    pub(super) desc: String,
}

type Answers = BTreeMap<u64, oneshot::Sender<Result<Value, QemuError>>>;

/// What goes on between QEMU and those who wait: both tasks have it.
struct Exchange {
    socket: UnixStream,
    /// `None` once the connection is lost: then nobody may begin to wait.
    answers: Mutex<Option<Answers>>,
    lost: OnceLock<Arc<LostReason>>,
}

/// A live connection; dropping it closes the socket.
pub(super) struct Connection {
    orders: mpsc::Sender<Order>,
    /// Holds no sender of its own, so that receivers learn when the reader ends.
    events: Mutex<broadcast::WeakSender<Event>>,
    exchange: Arc<Exchange>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Connection {
    /// Starts the tasks; the receiver resolves when the greeting has come.
    pub(super) fn start(socket: UnixStream) -> (Self, oneshot::Receiver<()>) {
        let (orders, inbox) = mpsc::channel(16);
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let (greeted, greeting) = oneshot::channel();
        let weak = events.downgrade();
        let exchange =
            Arc::new(Exchange { socket, answers: Mutex::new(Some(Answers::new())), lost: OnceLock::new() });
        let reader = tokio::spawn(read(Arc::clone(&exchange), events, greeted));
        let writer = tokio::spawn(write(Arc::clone(&exchange), inbox));
        let tasks = [reader, writer].map(AbortOnDropHandle::new);
        (Self { orders, events: Mutex::new(weak), exchange, _tasks: tasks }, greeting)
    }

    pub(super) async fn send(&self, order: Order) -> Result<(), mpsc::error::SendError<Order>> {
        self.orders.send(order).await
    }

    pub(super) fn events(&self) -> broadcast::Receiver<Event> {
        let weak = self.events.lock().expect("nothing panics while it holds the sender");
        // A lost connection gives a receiver that is closed from the start.
        weak.upgrade().map_or_else(|| broadcast::channel(1).1, |events| events.subscribe())
    }

    pub(super) fn lost_reason(&self) -> Option<Arc<LostReason>> {
        self.exchange.lost.get().cloned()
    }
}

impl Exchange {
    fn answers(&self) -> MutexGuard<'_, Option<Answers>> {
        self.answers.lock().expect("nothing panics while it holds the answers")
    }

    /// Ends the connection for all: the reason is set before those who wait are released.
    fn lose(&self, reason: LostReason) {
        let _ = self.lost.set(Arc::new(reason));
        self.answers().take();
        let _ = nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }

    fn answer(&self, id: Option<u64>, result: Result<Value, QemuError>) {
        let waiting = id.and_then(|id| self.answers().as_mut()?.remove(&id));
        if let Some(reply) = waiting {
            // Whoever asked may have given up.
            let _ = reply.send(result);
        }
    }
}

async fn read(exchange: Arc<Exchange>, events: broadcast::Sender<Event>, greeted: oneshot::Sender<()>) {
    let mut greeted = Some(greeted);
    let mut lines = Lines::default();
    let mut buffer = vec![0; 64 * 1024];
    let reason = 'lost: loop {
        let read =
            exchange.socket.async_io(Interest::READABLE, || exchange.socket.try_read(&mut buffer)).await;
        let length = match read {
            Ok(0) => break LostReason::Socket(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) => break LostReason::Socket(error),
        };
        for message in lines.push(&buffer[..length]) {
            match message {
                Ok(Message::Greeting { .. }) => {
                    greeted.take().map(|greeted| greeted.send(()));
                }
                Ok(Message::Return { id, value }) => exchange.answer(id, Ok(value)),
                Ok(Message::Error { id, class, desc }) => exchange.answer(id, Err(QemuError { class, desc })),
                // Without a receiver nobody cares.
                Ok(Message::Event(event)) => drop(events.send(event)),
                Err(malformed) => break 'lost LostReason::Malformed(malformed),
            }
        }
    };
    exchange.lose(reason);
}

async fn write(exchange: Arc<Exchange>, mut orders: mpsc::Receiver<Order>) {
    let mut id = 0;
    while let Some(order) = orders.recv().await {
        // Nobody waits for it any more, and it has not been begun.
        if order.reply.is_closed() {
            continue;
        }
        id += 1;
        match exchange.answers().as_mut() {
            Some(answers) => {
                answers.retain(|_, reply| !reply.is_closed());
                answers.insert(id, order.reply)
            }
            None => return,
        };
        let mut line =
            json!({ "execute": order.command, "arguments": order.arguments, "id": id }).to_string();
        line.push('\n');
        if let Err(error) = send(&exchange.socket, line.as_bytes(), order.descriptor).await {
            return exchange.lose(LostReason::Socket(error));
        }
    }
}

/// Writes it all; the descriptor goes with the first byte.
async fn send(socket: &UnixStream, mut bytes: &[u8], mut descriptor: Option<OwnedFd>) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = socket
            .async_io(Interest::WRITABLE, || {
                let raw = descriptor.as_ref().map(|descriptor| [descriptor.as_fd().as_raw_fd()]);
                let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
                let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
                Ok(sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], rights.as_slice(), flags, None)?)
            })
            .await?;
        descriptor = None;
        bytes = &bytes[sent..];
    }
    Ok(())
}
