//! Whether KVM can be used. `/dev/kvm` alone does not tell: some clouds' KVM runs their own guest kernels only, and a
//! stock one dies at once. So a guest is booted, once per boot of the host, and the outcome kept.

use crate::cache::{Cache, CacheError};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

/// The program that runs VMs.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// With KVM a kernel is up in a second or two.
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU, translating: slower, and everywhere.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// KVM if a guest boots on it here, else TCG.
pub(crate) async fn choose(
    cache: &Cache,
    kernel: &Path,
    initramfs: &Path,
) -> Result<Accelerator, CacheError> {
    if !Path::new("/dev/kvm").exists() {
        return Ok(Accelerator::Tcg);
    }
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let memory: PathBuf = cache.directory("")?.join("kvm-probe");
    if let Some(known) = recall(&memory, &boot) {
        return Ok(known);
    }
    let found = if boots_on_kvm(kernel, initramfs).await { Accelerator::Kvm } else { Accelerator::Tcg };
    if let Err(error) = std::fs::write(&memory, format!("{}\n{found}\n", boot.trim())) {
        tracing::warn!(%error, "the KVM probe will be repeated");
    }
    Ok(found)
}

fn recall(memory: &Path, boot: &str) -> Option<Accelerator> {
    let text = std::fs::read_to_string(memory).ok()?;
    let (of_boot, found) = text.split_once('\n')?;
    match found.trim() {
        _ if of_boot != boot.trim() => None,
        "kvm" => Some(Accelerator::Kvm),
        "tcg" => Some(Accelerator::Tcg),
        _ => None,
    }
}

/// Whether the guest's init says anything: it has no devices and then switches itself off, but it has been reached.
async fn boots_on_kvm(kernel: &Path, initramfs: &Path) -> bool {
    let probe = async {
        let mut child = Command::new(PROGRAM)
            .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"])
            .args(["-machine", "q35,accel=kvm", "-cpu", "host", "-m", "512M", "-kernel"])
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", "console=ttyS0 panic=-1 nestless.name=probe"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut lines = BufReader::new(stdout).split(b'\n');
        while let Some(line) = lines.next_segment().await? {
            if String::from_utf8_lossy(&line).contains("nestless-lab-init:") {
                return io::Result::Ok(true);
            }
        }
        Ok(false)
    };
    matches!(tokio::time::timeout(PROBE_TIMEOUT, probe).await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_holds_until_the_host_reboots() {
        let dir = tempfile::tempdir().unwrap();
        let memory = dir.path().join("kvm-probe");
        assert_eq!(recall(&memory, "boot-1\n"), None);
        std::fs::write(&memory, "boot-1\ntcg\n").unwrap();
        assert_eq!(recall(&memory, "boot-1\n"), Some(Accelerator::Tcg));
        assert_eq!(recall(&memory, "boot-2\n"), None);
    }
}
