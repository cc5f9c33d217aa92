//! The two gRPC servers: one for guests, whatever channel they call on, and one for the operator.

use crate::{
    channel::{self, Channels},
    config::Config,
    daemon::Host,
    guests,
    service::{GuestService, OperatorService},
};
use nestless_proto::{FILE_DESCRIPTOR_SET, guest_server::GuestServer, operator_server::OperatorServer};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{service::Routes, transport::Server};
use tracing::error;

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
    let guest = guests::bounded(GuestService::new(Arc::clone(host)));
    let routes = Routes::new(health_service.clone()).add_service(guest).prepare();
    tasks.spawn(guests::serve(streams, routes, Arc::clone(host), stopped.clone()));
    let operators = Server::builder()
        .add_service(health_service)
        .add_service(reflection()?)
        .add_service(OperatorServer::new(OperatorService::new(Arc::clone(host))))
        .serve_with_incoming_shutdown(UnixListenerStream::new(operator), hear(stopped));
    tasks.spawn(async move {
        health.set_serving::<GuestServer<GuestService>>().await;
        health.set_serving::<OperatorServer<OperatorService>>().await;
        if let Err(failure) = operators.await {
            error!("the operator's server ended: {failure}");
        }
    });
    Ok(Servers { tasks, stop, channels })
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
