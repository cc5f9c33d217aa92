//! The two gRPC servers: one for guests, whatever channel they call on, and one for the operator.

use crate::{
    channel::{self, Channels},
    config::Config,
    daemon::Host,
    service::{GuestService, OperatorService},
};
use nestless_proto::{
    FILE_DESCRIPTOR_SET, MAX_MESSAGE_BYTES,
    guest_server::{Guest, GuestServer},
    operator_server::OperatorServer,
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};
use tokio_stream::{
    StreamExt as _,
    wrappers::{ReceiverStream, UnixListenerStream},
};
use tonic::transport::{Server, server::Router};
use tracing::error;

/// An agent makes one call per pod at a time; a guest that opens more streams than this wants to do harm.
const STREAMS_PER_CHANNEL: u32 = 512;
/// How long running calls may take to end when the daemon stops.
const DRAIN: Duration = Duration::from_millis(500);

/// The servers, running.
pub(crate) struct Servers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// How guests come to theirs.
    pub(crate) channels: Channels,
}

/// Starts both.
///
/// # Errors
/// When a socket cannot be bound.
pub(crate) fn start(config: &Config, host: &Arc<Host>) -> anyhow::Result<Servers> {
    let mut tasks = JoinSet::new();
    let (stop, stopped) = watch::channel(false);
    let operator = channel::listen_unix(&config.host.run_dir.join("nestlessd.sock"))?;
    let (channels, streams) = Channels::open(config, host)?;

    let (health, health_service) = tonic_health::server::health_reporter();
    let guests = guests(GuestService::new(Arc::clone(host)))
        .add_service(health_service.clone())
        .add_service(reflection()?)
        .serve_with_incoming_shutdown(
            ReceiverStream::new(streams).map(Ok::<_, Infallible>),
            hear(stopped.clone()),
        );
    let operators = Server::builder()
        .add_service(health_service)
        .add_service(reflection()?)
        .add_service(OperatorServer::new(OperatorService::new(Arc::clone(host))))
        .serve_with_incoming_shutdown(UnixListenerStream::new(operator), hear(stopped));
    tasks.spawn(async move {
        health.set_serving::<GuestServer<GuestService>>().await;
        health.set_serving::<OperatorServer<OperatorService>>().await;
        if let Err(failure) = guests.await {
            error!("the guests' server ended: {failure}");
        }
    });
    tasks.spawn(async move {
        if let Err(failure) = operators.await {
            error!("the operator's server ended: {failure}");
        }
    });
    Ok(Servers { tasks, stop, channels })
}

/// The guests' server with all its bounds.
fn guests(guest: impl Guest) -> Router {
    Server::builder()
        .max_concurrent_streams(STREAMS_PER_CHANNEL)
        .max_frame_size(16 << 10)
        .http2_max_header_list_size(16 << 10)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .add_service(GuestServer::new(guest).max_decoding_message_size(MAX_MESSAGE_BYTES))
}

/// Serves one channel as the daemon does, by another service: for what tests this door.
///
/// # Errors
/// As the server's.
pub async fn serve_channel(
    guest: impl Guest,
    channel: tokio::io::DuplexStream,
) -> Result<(), tonic::transport::Error> {
    guests(guest).serve_with_incoming(tokio_stream::once(Ok::<_, Infallible>(channel))).await
}

fn reflection() -> anyhow::Result<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
> {
    Ok(tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?)
}

async fn hear(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and that is a stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

impl Servers {
    /// Lets running calls end.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        // Channels that wait for their hypervisor never end by themselves.
        let _ = tokio::time::timeout(DRAIN, ended).await;
        self.tasks.shutdown().await;
    }
}
