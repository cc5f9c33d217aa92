//! A virtio-serial port: the hypervisor listens on a unix socket, and the bytes that pass have no connections of their
//! own; `support::serial_link` gives them some.

use super::entrance::Entrance;
use nestless_host::hypervisor::unreachable;
use nestless_model::identity::VmName;
use nestless_support::serial_link::SerialLink;
use std::{path::PathBuf, time::Duration};
use tokio::net::UnixStream;
use tracing::{debug, info};

/// A socket file appears when the hypervisor starts, and there is no event for "somebody listens on it now": so the wait
/// between two tries is bounded, and short enough that a booting guest never notices.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Keeps the port open for ever, whatever becomes of the hypervisor.
pub(super) async fn serve(path: PathBuf, vm: VmName, entrance: Entrance) {
    let mut wait = RETRY_MIN;
    loop {
        match UnixStream::connect(&path).await {
            Ok(socket) => {
                info!(%vm, path = %path.display(), "virtio-serial port open");
                entrance.note_trouble(&vm, String::new());
                wait = RETRY_MIN;
                let mut link = SerialLink::new(socket);
                while let Ok(stream) = link.accept().await {
                    if !entrance.admit(stream, &vm).await {
                        return;
                    }
                }
                info!(%vm, "virtio-serial port closed");
            }
            Err(error) => {
                debug!(%vm, path = %path.display(), "virtio-serial port not open yet: {error}");
                entrance.note_trouble(&vm, unreachable("the channel's socket", &path, &error));
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}
