//! Keeps a connection to the host: dial, say Hello, hand it out, and again when it breaks.

use super::client::{Session, SessionSlot, traced};
use crate::channel::{ByteStream, Dialer};
use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use nestless_proto::{HelloRequest, MAX_MESSAGE_BYTES, guest_client::GuestClient};
use nestless_support::telemetry::TraceParent;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A serial line does not tell that the other end is gone; asking it does.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_DEADLINE: Duration = Duration::from_secs(20);
/// A session of a host that does not answer Hello is given up.
const HELLO_DEADLINE: Duration = Duration::from_secs(20);

/// Runs until cancelled.
pub(crate) async fn keep_connected(mut dialer: Dialer, boot_id: String, slot: SessionSlot) {
    let SessionSlot(slot) = slot;
    let mut pause = FIRST_PAUSE;
    for generation in 1.. {
        match establish(&mut dialer, &boot_id).await {
            Ok((client, broken)) => {
                pause = FIRST_PAUSE;
                slot.send_replace(Some(Session { client, generation }));
                broken.cancelled().await;
                slot.send_replace(None);
                tracing::warn!("the connection to the host broke; dialling again");
            }
            Err(error) => tracing::debug!(error = format!("{error:#}"), ?pause, "the host cannot be reached"),
        }
        // Nothing tells when a host comes back.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn establish(
    dialer: &mut Dialer,
    boot_id: &str,
) -> anyhow::Result<(GuestClient<Channel>, CancellationToken)> {
    let stream = dialer.dial().await?;
    let (channel, broken) = connect(dialer.endpoint(), stream).await?;
    let mut client = GuestClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let hello = HelloRequest {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: boot_id.to_owned(),
        without_ipv6: !nestless_guest::families::has_ipv6(),
    };
    let answer = tokio::time::timeout(HELLO_DEADLINE, client.hello(traced(TraceParent::root(), hello))).await;
    let answer =
        answer.context("the host does not answer Hello")?.context("say Hello to the host")?.into_inner();
    tracing::info!(vm = answer.vm, host_version = answer.host_version, networks = ?answer.networks, "connected to the host");
    Ok((client, broken))
}

/// Speaks HTTP/2 over `stream`, and nothing else: a channel that redials by itself would skip Hello. The token is
/// cancelled when the stream is done with.
async fn connect(
    endpoint: Endpoint,
    stream: Box<dyn ByteStream>,
) -> anyhow::Result<(Channel, CancellationToken)> {
    let broken = CancellationToken::new();
    let watched = Watched { stream, _broken: broken.clone().drop_guard() };
    let once = Arc::new(Mutex::new(Some(watched)));
    let connector = tower::service_fn(move |_| {
        let stream = once.lock().ok().and_then(|mut once| once.take());
        async move { stream.map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    let channel = endpoint
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_DEADLINE)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .context("begin gRPC with the host")?;
    Ok((channel, broken))
}

/// Tells when nobody uses the stream any more, which is when HTTP/2 has given it up.
struct Watched {
    stream: Box<dyn ByteStream>,
    _broken: DropGuard,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
