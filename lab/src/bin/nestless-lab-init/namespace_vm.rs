//! A "VM" that is a set of namespaces of this host: processes, mounts, host name; its network namespace is made by the
//! lab, which starts this program inside it.
//!
//! ```text
//! outer: lives in the host's PID namespace, starts inner, starts it again when it asks for a reboot
//!   inner: process 1 of the VM's own PID namespace; with it dies everything that runs in the VM
//! ```

use crate::{
    machine::{mount_each, set_name},
    power::REBOOT_EXIT,
};
use anyhow::{Context as _, Result, bail};
use nestless_lab::guest::APPLETS;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{prctl, signal::Signal},
};
use std::{
    fs,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Argument by which outer starts inner.
pub(crate) const INNER: &str = "--inner";

/// Keeps the VM running until it is switched off.
pub(crate) fn outer(shared: &Path, settings: &[String]) -> Result<ExitCode> {
    let own = fs::File::open("/proc/self/ns/pid").context("open the own PID namespace")?;
    loop {
        // Only the next child is in the new namespace. Back to the own one first: the last child's is dead.
        setns(&own, CloneFlags::CLONE_NEWPID).context("return to the own PID namespace")?;
        unshare(CloneFlags::CLONE_NEWPID).context("make a PID namespace")?;
        let status = Command::new("/proc/self/exe")
            .arg(INNER)
            .arg(shared)
            .args(settings)
            .status()
            .context("start the VM's process 1")?;
        if status.code() != Some(i32::from(REBOOT_EXIT)) {
            return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
}

/// Makes the namespaces of process 1. `shared` is the one directory it has in common with the host.
pub(crate) fn inner(shared: &Path, name: &str) -> Result<()> {
    if !nix::unistd::getpid().as_raw().eq(&1) {
        bail!("{INNER} is for the process that begins a PID namespace");
    }
    prctl::set_pdeathsig(Signal::SIGKILL).context("die with the outer process")?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)
        .context("make namespaces")?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("keep mounts to itself")?;
    let held = fs::File::open(shared).with_context(|| format!("open {}", shared.display()))?;
    mount_each(&[
        ("proc", "/proc", ""),
        ("sysfs", "/sys", ""),
        ("bpf", "/sys/fs/bpf", ""),
        ("cgroup2", "/sys/fs/cgroup", ""),
        // What a killed database leaves here goes with the VM.
        ("tmpfs", "/dev/shm", "mode=1777"),
        ("tmpfs", "/run", "mode=755"),
    ])?;
    fs::create_dir_all(shared).with_context(|| format!("make {}", shared.display()))?;
    let source = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    mount(Some(&source), shared, none, MsFlags::MS_BIND, none)
        .context("share the VM's directory with the host")?;
    private("etc")?;
    private("var")?;
    install_applets()?;
    set_name(name)
}

/// What a QEMU guest's shell can do, this one's can, whatever the host has installed: the lab puts [`APPLETS`] last in
/// PATH. A host without busybox has to do without.
fn install_applets() -> Result<()> {
    fs::create_dir_all(APPLETS).with_context(|| format!("make {APPLETS}"))?;
    match Command::new("busybox").args(["--install", "-s", APPLETS]).status() {
        Ok(status) if !status.success() => bail!("busybox --install ended with {status}"),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("run busybox --install")
        }
        _ => Ok(()),
    }
}

/// The host's /`dir`, on which the VM can write without the host seeing it: servers keep their data in /var.
fn private(dir: &str) -> Result<()> {
    let (upper, work) = (format!("/run/{dir}/upper"), format!("/run/{dir}/work"));
    for made in [&upper, &work] {
        fs::create_dir_all(made).with_context(|| format!("make {made}"))?;
    }
    let at = format!("/{dir}");
    let options = format!("lowerdir={at},upperdir={upper},workdir={work}");
    mount(Some("overlay"), at.as_str(), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .with_context(|| format!("overlay {at}"))
}
