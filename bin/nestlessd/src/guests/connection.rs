//! One HTTP/2 connection for each channel, with small windows and frames, and no more streams than an agent uses.

use super::calls::Calls;
use crate::{
    allowance::STREAMS_PER_CHANNEL,
    channel::{ChannelStream, Greeted},
    daemon::Host,
};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use nestless_proto::MAX_REQUEST_BYTES;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tonic::service::Routes;

/// How long the first words may take: HTTP/2's preface and settings.
const GREETING_DEADLINE: Duration = Duration::from_secs(10);
/// A guest that does not answer a ping in this time, or takes nothing, is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// HTTP/2's least (RFC 9113, 6.9.2 and 6.5.2).
const CONNECTION_WINDOW_BYTES: u32 = 65_535;
const FRAME_BYTES: u32 = 16 << 10;
/// An agent's headers are half a KiB.
const HEADERS_BYTES: u32 = 4 << 10;
/// What waits to be sent of one answer: the rest stays with the call, and counts as its own.
const SEND_BUFFER_BYTES: usize = 8 << 10;
/// Streams that a guest ends at once, before it is taken for a flood.
const RESETS: usize = 20;

/// Serves channels as they come, until the daemon stops; then lets running calls end.
pub(crate) async fn serve(
    mut channels: mpsc::Receiver<ChannelStream>,
    routes: Routes,
    host: Arc<Host>,
    mut stopped: watch::Receiver<bool>,
) {
    let (mut connections, told) = (JoinSet::new(), stopped.clone());
    loop {
        tokio::select! {
            channel = channels.recv() => match channel {
                Some(channel) => {
                    let peer = channel.peer().clone();
                    let allowance = host.allowances.of(&peer.0);
                    let calls = Calls { routes: routes.clone(), peer, allowance };
                    let greeted = channel.greeted();
                    connections.spawn(one(channel, greeted, calls, told.clone()));
                }
                None => break,
            },
            Some(_) = connections.join_next() => {}
            // An error means that the sender is gone, and that is a stop as well.
            _ = stopped.wait_for(|stop| *stop) => break,
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Serves one connection to its end.
pub(super) async fn one(
    channel: impl AsyncRead + AsyncWrite + Unpin,
    greeted: Greeted,
    calls: Calls,
    mut stopped: watch::Receiver<bool>,
) {
    let peer = calls.peer.clone();
    let mut connection = pin!(settings().serve_connection(TokioIo::new(channel), calls));
    let mut greeting = pin!(sleep(GREETING_DEADLINE));
    let (mut waiting, mut stopping) = (true, false);
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(vm = %peer.0, "channel: {error}");
                }
                return;
            }
            () = &mut greeting, if waiting => {
                waiting = false;
                if !greeted.is_over() {
                    tracing::debug!(vm = %peer.0, "a channel on which nobody spoke; closed");
                    return;
                }
            }
            _ = stopped.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn settings() -> http2::Builder<TokioExecutor> {
    let mut settings = http2::Builder::new(TokioExecutor::new());
    settings
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CHANNEL)
        .initial_stream_window_size(u32::try_from(MAX_REQUEST_BYTES).ok())
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(HEADERS_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    settings
}
