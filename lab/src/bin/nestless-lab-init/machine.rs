//! What an operating system does before its first service, here for a machine whose root is our initramfs.

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    unistd::sethostname,
};
use std::{fs, os::unix::fs::symlink, path::Path};

const MODULE_ORDER: &str = "/lib/modules/order";

/// Mounts what every program expects.
pub(crate) fn mount_all() -> Result<()> {
    mount_each(&[
        ("proc", "/proc", ""),
        ("sysfs", "/sys", ""),
        ("devtmpfs", "/dev", ""),
        ("devpts", "/dev/pts", "ptmxmode=666"),
        ("tmpfs", "/dev/shm", "mode=1777"),
        ("tmpfs", "/run", "mode=755"),
        ("tmpfs", "/tmp", "mode=1777"),
        ("bpf", "/sys/fs/bpf", ""),
        ("cgroup2", "/sys/fs/cgroup", ""),
    ])?;
    link_streams()
}

/// Mounts file systems that have no device: kind, place and options of each.
pub(crate) fn mount_each(wanted: &[(&str, &str, &str)]) -> Result<()> {
    for &(kind, at, options) in wanted {
        if !Path::new(at).exists() {
            fs::create_dir_all(at).with_context(|| format!("make {at}"))?;
        }
        mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(options))
            .with_context(|| format!("mount {at}"))?;
    }
    Ok(())
}

/// What udev makes elsewhere. Programs open them by name: `nft -f -` does.
fn link_streams() -> Result<()> {
    for (link, target) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        let link = Path::new("/dev").join(link);
        symlink(format!("/proc/self/fd{target}"), &link)
            .with_context(|| format!("make {}", link.display()))?;
    }
    Ok(())
}

/// Loads the modules of the image. One that does not load is reported, and missed only by who needs it.
pub(crate) fn load_modules() -> Result<()> {
    let order = fs::read_to_string(MODULE_ORDER).with_context(|| format!("read {MODULE_ORDER}"))?;
    for path in order.lines() {
        let file = fs::File::open(path).with_context(|| format!("open {path}"))?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => eprintln!("nestless-lab-init: load {path}: {errno}"),
        }
    }
    Ok(())
}

/// Names the machine.
pub(crate) fn set_name(name: &str) -> Result<()> {
    sethostname(name).with_context(|| format!("set the host name {name}"))
}
