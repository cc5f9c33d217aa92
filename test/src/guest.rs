//! Speaking to a host as a VM does, in the agent's place.

use hyper_util::rt::TokioIo;
use nestless_proto::guest_client::GuestClient;
use std::path::Path;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// Opens a channel of a VM's: whoever holds the VM's socket is the VM.
///
/// # Panics
/// When nobody listens there.
pub async fn channel(socket: &Path) -> GuestClient<Channel> {
    let path = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://host").connect_with_connector(connector).await;
    GuestClient::new(channel.expect("the host listens")).max_encoding_message_size(64 << 20)
}
