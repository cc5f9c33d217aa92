//! A unix socket of the VM's own, as hybrid vsock gives (Cloud Hypervisor, Firecracker, vhost-device-vsock).

use super::entrance::Entrance;
use anyhow::Context as _;
use nestless_model::identity::VmName;
use std::{os::unix::fs::PermissionsExt as _, path::Path};
use tokio::net::UnixListener;
use tracing::warn;

/// Binds a socket that only its owner may use. A socket that a dead daemon left is replaced; one that is served is not.
pub(crate) fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let describe = || format!("listen on {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(describe)?;
    }
    if path.exists() {
        anyhow::ensure!(
            std::os::unix::net::UnixStream::connect(path).is_err(),
            "{} is served by another process: is another nestlessd running?",
            path.display()
        );
        std::fs::remove_file(path).with_context(describe)?;
    }
    let listener = UnixListener::bind(path).with_context(describe)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).with_context(describe)?;
    Ok(listener)
}

/// Accepts for ever.
pub(super) async fn serve(listener: UnixListener, vm: VmName, entrance: Entrance) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                if !entrance.admit(socket, &vm).await {
                    return;
                }
            }
            Err(error) => {
                warn!(%vm, "accept: {error}");
                // Out of descriptors or memory: a moment's rest instead of a busy loop.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
