//! Where programs and tables are pinned.

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Where eBPF file systems are mounted by custom.
const MOUNT_POINT: &str = "/sys/fs/bpf";

/// Mounts an eBPF file system at the customary place when `dir` lies there and there is none.
///
/// # Errors
/// When `dir` lies on another file system, or the mount fails.
pub(super) fn ensure(dir: &Path) -> io::Result<()> {
    let is_bpf = |path: &Path| statfs(path).is_ok_and(|s| s.filesystem_type() == BPF_FS_MAGIC);
    let existing: PathBuf = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned();
    if is_bpf(&existing) {
        return Ok(());
    }
    if !dir.starts_with(MOUNT_POINT) {
        return Err(io::Error::other(format!("{} is on another file system", existing.display())));
    }
    Ok(mount(Some("bpf"), MOUNT_POINT, Some("bpf"), MsFlags::empty(), None::<&str>)?)
}
