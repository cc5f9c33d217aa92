//! AF_VSOCK: the kernel vouches for the caller's context id.

use super::ChannelStream;
use crate::daemon::Host;
use anyhow::Context as _;
use nestless_model::identity::VmName;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::mpsc;
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};
use tracing::warn;

/// The port agents call on the host.
const PORT: u32 = 1788;

pub(super) fn listen() -> anyhow::Result<VsockListener> {
    VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, PORT))
        .with_context(|| format!("listen on vsock port {PORT} (load the kernel module vhost_vsock)"))
}

/// Accepts for ever. A context id that no VM of the configuration has is turned away.
pub(super) async fn serve(
    listener: VsockListener,
    vms: BTreeMap<u32, VmName>,
    host: Arc<Host>,
    streams: mpsc::Sender<ChannelStream>,
) {
    loop {
        match listener.accept().await {
            Ok((socket, address)) => match vms.get(&address.cid()) {
                Some(vm) => {
                    if streams.send(ChannelStream::new(socket, vm.clone(), &host)).await.is_err() {
                        return;
                    }
                }
                None => warn!(cid = address.cid(), "a context id that is no VM's called"),
            },
            Err(error) => {
                warn!("accept on vsock: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
