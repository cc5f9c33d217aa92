//! The guest's whole root file system, as one archive. Not compressed: unpacking costs a guest without KVM more time
//! than the host saves.

use super::{
    ModuleError, PackageError, Program, ProgramError, Programs,
    cpio::Archive,
    kernel::{Kernel, KernelError},
    library::{self, LibraryError},
    package,
};
use crate::cache::Cache;
use std::{
    io,
    path::{Path, PathBuf},
};

/// What every guest gets: its devices, and what pods, and nested bridges to compare them with, need.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "qemu_fw_cfg",
    "pci_hotplug",
    "shpchp",
    "af_packet",
    "veth",
    "bridge",
    "br_netfilter",
    "dummy",
    "tun",
    "overlay",
    "vsock",
    "vmw_vsock_virtio_transport",
    "sch_ingress",
    "sch_htb",
    "sch_fq_codel",
    "sch_tbf",
    "sch_netem",
    "cls_bpf",
    "act_bpf",
    "act_mirred",
    "nf_tables",
    "nft_ct",
    "nft_nat",
    "nft_masq",
    "nft_chain_nat",
    "nft_compat",
    "nft_fib_inet",
    "nft_reject_inet",
    "xt_MASQUERADE",
    "xt_nat",
    "xt_conntrack",
    "xt_comment",
    "xt_mark",
    "xt_addrtype",
    "xt_multiport",
    "xt_tcpudp",
    "iptable_nat",
    "iptable_filter",
    "ip6table_nat",
    "ip6table_filter",
    "nf_conntrack_netlink",
    "ip_set",
    "ip_vs",
    "vxlan",
    "loop",
];
/// The order is one text file, so that the guest needs no modules.dep.
const MODULE_ORDER: &str = "/lib/modules/order";
/// Where our programs are in a guest; first in its PATH.
const PROGRAM_DIR: &str = "/opt/nestless/bin";
const CNI_DIR: &str = "/opt/cni/bin";
const BUSYBOX: &str = "/bin/busybox";

/// What kept the image from being made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No kernel.
    #[error("provide the guest's kernel")]
    Kernel(#[from] KernelError),
    /// Not all modules.
    #[error("collect the guest's kernel modules")]
    Modules(#[from] ModuleError),
    /// One of ours is missing.
    #[error("collect the guest's programs")]
    Program(#[from] ProgramError),
    /// A host's program does not run.
    #[error("collect the libraries of the guest's programs")]
    Library(#[from] LibraryError),
    /// A package cannot be copied.
    #[error("collect the guest's packages")]
    Package(#[from] PackageError),
    /// A host's program is not installed.
    #[error("{name} was asked for in the guest, and is neither a path nor in PATH on this host")]
    Extra {
        /// As the builder was told.
        name: String,
    },
    /// No static busybox.
    #[error(
        "{BUSYBOX} is not there or not static, and the guest's shell needs it: apt-get install busybox-static"
    )]
    Busybox,
    /// A file could not be read.
    #[error("read {path} for the guest's image")]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The image could not be written.
    #[error("write the guest's image {path}")]
    Write {
        /// File.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What goes into the image beyond what every guest gets.
#[derive(Debug, Default)]
pub struct Initramfs {
    /// With nestless-agent and nestless-cni.
    pub with_agent: bool,
    /// Programs of this project beside those that every guest gets.
    pub own_programs: Vec<Program>,
    /// Programs of this host, with their libraries: names to look for in PATH, or paths.
    pub extra_programs: Vec<String>,
    /// Debian packages that are installed on this host; dpkg-query's wildcards may be used.
    pub extra_packages: Vec<String>,
    /// Text or binary files: path in the guest, content.
    pub extra_files: Vec<(String, Vec<u8>)>,
    /// Lines of /etc/hosts: address and name.
    pub hosts: Vec<(String, String)>,
}

impl Initramfs {
    /// Writes the image to `path`. Blocks: for a thread that may.
    ///
    /// # Errors
    /// When something that belongs in it is missing; `path` is worthless then.
    pub fn write(
        &self,
        path: &Path,
        kernel: &Kernel,
        programs: &Programs,
        cache: &Cache,
    ) -> Result<(), ImageError> {
        let written = |source| ImageError::Write { path: path.to_owned(), source };
        let file = std::fs::File::create(path).map_err(written)?;
        let mut archive = Archive::new(io::BufWriter::with_capacity(1 << 20, file));
        skeleton(&mut archive).map_err(written)?;
        for path in ["/etc/passwd", "/etc/group"] {
            let read = |source| ImageError::Read { path: path.into(), source };
            let accounts = package::accounts(path, !self.extra_packages.is_empty()).map_err(read)?;
            archive.file(path, 0o644, accounts.as_bytes()).map_err(written)?;
        }
        archive
            .file("/init", 0o755, &read(&programs.stripped(Program::LabInit, cache)?)?)
            .map_err(written)?;
        let ours = if self.with_agent { [Program::Agent, Program::Cni].as_slice() } else { &[] };
        for &program in ours {
            let to = format!("{PROGRAM_DIR}/{program}");
            archive.file(&to, 0o755, &read(&programs.stripped(program, cache)?)?).map_err(written)?;
            archive.link(&format!("{CNI_DIR}/{program}"), &to).map_err(written)?;
        }
        for &program in &self.own_programs {
            let content = read(&programs.stripped(program, cache)?)?;
            archive.file(&format!("{PROGRAM_DIR}/{program}"), 0o755, &content).map_err(written)?;
        }
        self.modules(&mut archive, kernel, &written)?;
        self.host_programs(&mut archive, &written)?;
        for pattern in &self.extra_packages {
            package::add(&mut archive, pattern)?;
        }
        if self.extra_packages.iter().any(|name| name == "dpkg") {
            package::database(&mut archive, &self.extra_packages)?;
        }
        busybox(&mut archive, &written)?;
        for (name, content) in &self.extra_files {
            archive.file(name, 0o644, content).map_err(written)?;
        }
        let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost\n");
        for (address, name) in &self.hosts {
            hosts.push_str(&format!("{address} {name}\n"));
        }
        archive.file("/etc/hosts", 0o644, hosts.as_bytes()).map_err(written)?;
        archive.finish().map_err(written)?;
        Ok(())
    }

    fn modules<W: io::Write>(
        &self,
        archive: &mut Archive<W>,
        kernel: &Kernel,
        written: &impl Fn(io::Error) -> ImageError,
    ) -> Result<(), ImageError> {
        let mut order = String::new();
        for module in kernel.tree()?.load_order(MODULES)? {
            let path = format!("/lib/modules/{}.ko", module.name);
            order.push_str(&path);
            order.push('\n');
            archive.file(&path, 0o644, &module.content).map_err(written)?;
        }
        archive.file(MODULE_ORDER, 0o644, order.as_bytes()).map_err(written)
    }

    fn host_programs<W: io::Write>(
        &self,
        archive: &mut Archive<W>,
        written: &impl Fn(io::Error) -> ImageError,
    ) -> Result<(), ImageError> {
        // Busybox's shell, as Debian builds it, prefers its own applets to the programs that were asked for.
        let with_programs = !self.extra_programs.is_empty() || !self.extra_packages.is_empty();
        let shell = with_programs.then_some("sh");
        for name in self.extra_programs.iter().map(String::as_str).chain(shell) {
            let path = on_this_host(name).ok_or_else(|| ImageError::Extra { name: name.to_owned() })?;
            for library in library::of(&path)? {
                add_as_is(archive, &library, written)?;
            }
            let to = if path.starts_with("/usr/lib/cni") {
                Path::new(CNI_DIR).join(path.file_name().unwrap_or_default())
            } else {
                path.clone()
            };
            archive.file(&to.to_string_lossy(), 0o755, &read(&path)?).map_err(written)?;
        }
        Ok(())
    }
}

/// Directories, and the nodes the kernel needs before init mounts anything.
fn skeleton<W: io::Write>(archive: &mut Archive<W>) -> io::Result<()> {
    for dir in [
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/lib64",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "root",
        "var/lib",
        "etc/cni/net.d",
    ] {
        archive.directory(dir)?;
    }
    for (link, target) in
        [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]
    {
        archive.link(link, target)?;
    }
    archive.link("var/run", "/run")?;
    archive.character_device("dev/console", 5, 1)?;
    archive.character_device("dev/null", 1, 3)?;
    archive.file("etc/nsswitch.conf", 0o644, b"passwd: files\ngroup: files\nhosts: files dns\n")
}

/// The applets, but not where one of the host's own programs already is.
fn busybox<W: io::Write>(
    archive: &mut Archive<W>,
    written: &impl Fn(io::Error) -> ImageError,
) -> Result<(), ImageError> {
    let is_static = library::of(Path::new(BUSYBOX))?.is_empty();
    let applets =
        std::process::Command::new(BUSYBOX).arg("--list-full").output().map_err(|_| ImageError::Busybox)?;
    if !is_static || !applets.status.success() {
        return Err(ImageError::Busybox);
    }
    archive.file("/usr/bin/busybox", 0o755, &read(Path::new(BUSYBOX))?).map_err(written)?;
    for applet in String::from_utf8_lossy(&applets.stdout).lines() {
        let path = in_usr(applet);
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        let taken = ["bin", "sbin"].iter().any(|dir| archive.contains(&format!("usr/{dir}/{name}")));
        if !taken {
            archive.link(&path, "/usr/bin/busybox").map_err(written)?;
        }
    }
    Ok(())
}

/// Adds a library under the name it is looked for by. On a host whose /lib is a link into /usr, so is the guest's.
fn add_as_is<W: io::Write>(
    archive: &mut Archive<W>,
    path: &Path,
    written: &impl Fn(io::Error) -> ImageError,
) -> Result<(), ImageError> {
    let content = read(path)?;
    archive.file(&in_usr(&path.to_string_lossy()), 0o755, &content).map_err(written)
}

/// /bin, /sbin, /lib and /lib64 are links into /usr in the guest: an entry goes to where it really lies.
fn in_usr(path: &str) -> String {
    let path = path.trim_start_matches('/');
    if path.starts_with("usr/") { path.to_owned() } else { format!("usr/{path}") }
}

fn on_this_host(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/lib/cni"].map(PathBuf::from));
    dirs.map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .map(|path| {
            let text = path.to_string_lossy();
            let in_root = ["/bin/", "/sbin/"].iter().any(|dir| text.starts_with(dir));
            if in_root { PathBuf::from(format!("/usr{text}")) } else { path.clone() }
        })
        .filter(|path| path.is_file())
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    std::fs::read(path).map_err(|source| ImageError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_go_to_where_the_links_lead() {
        assert_eq!(in_usr("/lib64/ld-linux-x86-64.so.2"), "usr/lib64/ld-linux-x86-64.so.2");
        assert_eq!(in_usr("/usr/lib/x.so"), "usr/lib/x.so");
        assert_eq!(in_usr("bin/sh"), "usr/bin/sh");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_with_its_name() {
        assert_eq!(on_this_host("no-such-program-anywhere"), None);
        assert_eq!(on_this_host("/no/such/path"), None);
        assert!(on_this_host("ls").unwrap().is_absolute());
    }
}
