//! Speaking to a host as a VM does, in the agent's place.

use nestless_proto::{connection, guest_client::GuestClient};
use std::path::Path;
use tonic::transport::Channel;

/// Opens a channel of a VM's: whoever holds the VM's socket is the VM.
///
/// # Panics
/// When nobody listens there.
pub async fn channel(socket: &Path) -> GuestClient<Channel> {
    let channel = connection::channel(socket).await;
    GuestClient::new(channel.expect("the host listens")).max_encoding_message_size(64 << 20)
}
