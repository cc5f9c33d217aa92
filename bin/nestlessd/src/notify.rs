//! Tells the service manager that the daemon is ready (sd_notify(3)).

use std::os::{
    linux::net::SocketAddrExt as _,
    unix::net::{SocketAddr, UnixDatagram},
};
use tracing::warn;

/// Ready to serve; `status` is shown by `systemctl status`.
pub(crate) fn ready(status: &str) {
    tell(&format!("READY=1\nSTATUS={status}\n"));
}

/// Reading the configuration anew; [`ready`] ends it.
pub(crate) fn reloading() {
    tell("RELOADING=1\n");
}

/// Going down.
pub(crate) fn stopping() {
    tell("STOPPING=1\n");
}

fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let path = path.to_string_lossy();
    let sent = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&*path),
    }
    .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        warn!("could not tell the service manager on {path}: {error}");
    }
}
