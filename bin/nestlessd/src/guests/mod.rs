//! Guests' channels, served. Each is HTTP/2 with limits of its own, and all of a VM's together keep to its allowance.

mod body;
mod calls;
mod connection;

pub(crate) use connection::serve;

use crate::{
    allowance::Allowance,
    channel::{Greeted, Peer},
};
use calls::Calls;
use nestless_model::identity::VmName;
use nestless_proto::{
    MAX_REQUEST_BYTES,
    guest_server::{Guest, GuestServer},
};
use tokio::{io::DuplexStream, sync::watch};
use tonic::service::Routes;

/// A service that takes no larger requests than a guest may send.
pub(crate) fn bounded<G: Guest>(guest: G) -> GuestServer<G> {
    GuestServer::new(guest).max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// Serves one channel of a VM as the daemon does, by another service, to its end: for what tests this door.
pub async fn serve_channel(guest: impl Guest, channel: DuplexStream, vm: VmName) {
    let (routes, allowance) = (Routes::new(bounded(guest)).prepare(), Allowance::whole());
    // Nobody stops it, so the sender is kept to the end.
    let (_stop, stopped) = watch::channel(false);
    connection::one(channel, Greeted::default(), Calls { routes, peer: Peer(vm), allowance }, stopped).await;
}
