//! Debian's cloud kernel, fetched once with apt and unpacked without installing it.

use super::{ModuleError, VmlinuxError, module::Tree, vmlinux};
use crate::{
    cache::{Cache, CacheError},
    progress::Progress,
};
use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Depends on the newest kernel of the distribution; holds nothing itself.
const METAPACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel that a VM can be booted with.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// For QEMU's `-kernel`: an uncompressed vmlinux, or the bzImage where that could not be unpacked.
    pub image: PathBuf,
    /// Below it are the kernel's modules.
    pub modules: PathBuf,
}

/// What kept the kernel away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The cache failed.
    #[error("use the kernel cache")]
    Cache(#[from] CacheError),
    /// A tool could not be run.
    #[error("run {tool}, which fetches the lab's kernel (it needs a Debian or Ubuntu host, or a kernel in {})", cache.display())]
    Run {
        /// apt-cache, apt-get or dpkg.
        tool: &'static str,
        /// Where a kernel may be put by hand: `boot/vmlinuz-*` and `lib/modules/*` in a directory of its own.
        cache: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// apt knows no such package.
    #[error("apt knows no package {METAPACKAGE}: run apt-get update on a Debian host, or put a kernel package's content into {}", cache.display())]
    NoPackage {
        /// Where a kernel may be put by hand.
        cache: PathBuf,
    },
    /// apt or dpkg failed.
    #[error("{command} failed: {message}")]
    Tool {
        /// The command.
        command: String,
        /// Last line of its complaint.
        message: String,
    },
    /// The package holds no kernel.
    #[error("there is no boot/vmlinuz-* or no lib/modules/* in {path}")]
    Incomplete {
        /// Where it was unpacked.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("prepare the kernel in {path}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its modules could not be read.
    #[error("read the kernel's modules")]
    Modules(#[from] ModuleError),
}

/// The kernel of the cache; fetched when the cache has none. Blocks: for a thread that may.
///
/// # Errors
/// When there is none and none can be fetched.
pub(crate) fn prepare(cache: &Cache, progress: &Progress) -> Result<Kernel, KernelError> {
    let dir = cache.directory("kernel")?;
    let _lock = cache.lock("kernel")?;
    if let Some(kernel) = newest(&dir)? {
        return Ok(kernel);
    }
    let package = newest_package(&dir)?;
    progress.step(format!("fetch {package}"));
    let work = dir.join("partial");
    let failed = |source| KernelError::Io { path: work.clone(), source };
    if work.exists() {
        std::fs::remove_dir_all(&work).map_err(failed)?;
    }
    std::fs::create_dir_all(&work).map_err(failed)?;
    run(
        &dir,
        "apt-get",
        Command::new("apt-get")
            .args(["-q", "-o", "APT::Sandbox::User=root", "download"])
            .arg(&package)
            .current_dir(&work),
    )?;
    let archive = single(&work, |name| name.ends_with(".deb"))
        .ok_or_else(|| KernelError::Incomplete { path: work.clone() })?;
    progress.step(format!("unpack {package}"));
    run(&dir, "dpkg", Command::new("dpkg").arg("-x").arg(&archive).arg("root").current_dir(&work))?;
    let root = work.join("root");
    unpack_image(&root)?;
    let ready = dir.join(&package);
    std::fs::rename(&root, &ready).map_err(failed)?;
    std::fs::remove_dir_all(&work).map_err(failed)?;
    at(&ready)
}

/// The kernel that was put into the cache last.
fn newest(dir: &Path) -> Result<Option<Kernel>, KernelError> {
    let failed = |source| KernelError::Io { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_dir() && entry.file_name() != "partial" {
            found.push((entry.metadata().and_then(|m| m.modified()).map_err(failed)?, entry.path()));
        }
    }
    found.sort();
    found.pop().map(|(_, path)| at(&path)).transpose()
}

fn at(root: &Path) -> Result<Kernel, KernelError> {
    let boot = root.join("boot");
    let image = single(&boot, |n| n == "vmlinux").or_else(|| single(&boot, |n| n.starts_with("vmlinuz-")));
    let modules = ["lib/modules", "usr/lib/modules"].map(|m| root.join(m)).into_iter().find(|m| m.is_dir());
    match (image, modules) {
        (Some(image), Some(modules)) => Ok(Kernel { image, modules }),
        _ => Err(KernelError::Incomplete { path: root.to_owned() }),
    }
}

impl Kernel {
    /// The kernel's modules by name.
    pub(crate) fn tree(&self) -> Result<Tree, KernelError> {
        Ok(Tree::scan(&self.modules)?)
    }
}

fn newest_package(cache: &Path) -> Result<String, KernelError> {
    let output = Command::new("apt-cache")
        .args(["depends", "--important", METAPACKAGE])
        .stderr(Stdio::null())
        .output()
        .map_err(|source| KernelError::Run { tool: "apt-cache", cache: cache.to_owned(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    depended_image(&text).ok_or_else(|| KernelError::NoPackage { cache: cache.to_owned() })
}

fn depended_image(text: &str) -> Option<String> {
    let mut names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

fn run(cache: &Path, tool: &'static str, command: &mut Command) -> Result<(), KernelError> {
    let output = command.stdin(Stdio::null()).output().map_err(|source| KernelError::Run {
        tool,
        cache: cache.to_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let message =
        complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given").to_owned();
    let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
    Err(KernelError::Tool { command: format!("{tool} {}", arguments.join(" ")), message })
}

/// Puts a vmlinux beside the bzImage. One that cannot be unpacked boots all the same, only slower.
fn unpack_image(root: &Path) -> Result<(), KernelError> {
    let boot = root.join("boot");
    let Some(image) = single(&boot, |n| n.starts_with("vmlinuz-")) else {
        return Err(KernelError::Incomplete { path: root.to_owned() });
    };
    let failed = |source| KernelError::Io { path: image.clone(), source };
    let content = std::fs::read(&image).map_err(failed)?;
    match vmlinux::extract(&content) {
        Ok(kernel) => std::fs::write(boot.join("vmlinux"), kernel).map_err(failed),
        Err(error @ (VmlinuxError::NoStream | VmlinuxError::Block { .. } | VmlinuxError::NoElf { .. })) => {
            tracing::warn!(%error, "boot the packed kernel");
            Ok(())
        }
    }
}

fn single(dir: &Path, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    entries.filter_map(Result::ok).find(|e| e.file_name().to_str().is_some_and(&wanted)).map(|e| e.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metapackage_leads_to_the_kernel() {
        let text = "linux-image-cloud-amd64\n  PreDepends: x\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(depended_image(text).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(depended_image("linux-image-cloud-amd64\n"), None);
    }

    #[test]
    fn a_half_filled_cache_entry_is_an_error_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("some-kernel/boot")).unwrap();
        let error = newest(dir.path()).unwrap_err().to_string();
        assert!(error.contains("some-kernel"), "{error}");
    }
}
