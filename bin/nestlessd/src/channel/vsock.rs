//! AF_VSOCK: the kernel vouches for the caller's context id.

use super::{entrance::Entrance, names::Names};
use anyhow::Context as _;
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};
use tracing::{debug, warn};

/// The port agents call on the host.
const PORT: u32 = 1788;

pub(super) fn listen() -> anyhow::Result<VsockListener> {
    VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, PORT))
        .with_context(|| format!("listen on vsock port {PORT} (load the kernel module vhost_vsock)"))
}

/// Accepts for ever. A context id that no VM of the configuration has is turned away.
pub(super) async fn serve(listener: VsockListener, vms: Names<u32>, entrance: Entrance) {
    loop {
        match listener.accept().await {
            Ok((socket, address)) => match vms.get(&address.cid()) {
                Some(vm) => {
                    if !entrance.admit(socket, &vm).await {
                        return;
                    }
                }
                // Every VM of the host can do this as often as it likes.
                None => debug!(cid = address.cid(), "a context id that is no VM's called"),
            },
            Err(error) => {
                warn!("accept on vsock: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
