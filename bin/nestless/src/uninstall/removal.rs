//! One thing to remove. It is one line of shell, which is also how it is done: a package that is purged has no program of
//! ours any more, and what was tried is what runs then.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// A thing of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// A host end in a VM that is a namespace. A TAP is its hypervisor's, and goes with the VM.
    HostEnd(String),
    /// A bridge that nestlessd made.
    Bridge(String),
    /// An nftables table of family inet.
    Table(String),
    /// A kernel setting, by its path below `/proc/sys`, that is put back to what it was.
    Setting {
        /// Which.
        key: String,
        /// What it was before.
        former: String,
    },
    /// A network namespace that is mounted here.
    Namespace(PathBuf),
    /// A folder of the eBPF file system.
    Pins(PathBuf),
    /// A file of ours, and the folder "nestless" that it was the last in.
    File(PathBuf),
    /// A folder that is nobody else's.
    Folder(PathBuf),
}

impl Removal {
    /// A reboot removes it as well.
    pub(super) fn ends_with_the_boot(&self) -> bool {
        !matches!(self, Self::File(path) | Self::Folder(path) if !path.starts_with("/run"))
    }

    /// A line of shell. Done twice, it succeeds twice.
    pub(super) fn line(&self) -> String {
        match self {
            Self::HostEnd(link) | Self::Bridge(link) => {
                let link = quoted(link);
                format!("! ip link show dev {link} >/dev/null 2>&1 || ip link delete dev {link}")
            }
            Self::Table(table) => {
                let table = quoted(table);
                format!("! nft list table inet {table} >/dev/null 2>&1 || nft delete table inet {table}")
            }
            Self::Setting { key, former } => {
                let path = quoted(&format!("/proc/sys/{key}"));
                format!("! test -e {path} || echo {} >{path}", quoted(former))
            }
            Self::Namespace(path) => {
                let path = quoted(&path.to_string_lossy());
                format!("! mountpoint -q {path} || umount {path}; rm -f {path}")
            }
            Self::Folder(path) => format!("rm -rf {}", quoted(&path.to_string_lossy())),
            Self::Pins(path) => {
                format!("rm -rf {}{}", quoted(&path.to_string_lossy()), and_its_folder(path))
            }
            Self::File(path) => {
                format!("rm -f {}{}", quoted(&path.to_string_lossy()), and_its_folder(path))
            }
        }
    }

    /// Does it; what went wrong, as a sentence.
    pub(super) fn perform(&self) -> Result<(), String> {
        let output = Command::new("sh").args(["-c", &self.line()]).env("PATH", path()).output();
        let output = output.map_err(|error| format!("{self} stays: sh does not start: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{self} stays: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// As services have it: a user's often lacks where `ip` and `nft` are.
fn path() -> String {
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", std::env::var("PATH").unwrap_or_default())
}

/// A folder that is called as we are was made for us, and goes when it is empty; any other is an operator's or a system's.
fn and_its_folder(path: &Path) -> String {
    let folder = path.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "nestless"));
    folder.map_or_else(String::new, |folder| {
        format!(" && {{ rmdir {} 2>/dev/null || :; }}", quoted(&folder.to_string_lossy()))
    })
}

/// One word of shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostEnd(link) => write!(f, "link {link}"),
            Self::Bridge(link) => write!(f, "bridge {link}"),
            Self::Table(table) => write!(f, "nftables table inet {table}"),
            Self::Setting { key, former } => write!(f, "setting {}, back to {former}", key.replace('/', ".")),
            Self::Namespace(path) => write!(f, "network namespace {}", path.display()),
            Self::Pins(path) => write!(f, "pinned eBPF programs and tables in {}", path.display()),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Folder(path) => write!(f, "folder {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("a'; rm -rf /"), r"'a'\''; rm -rf /'");
    }

    #[test]
    fn what_is_gone_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("no'where");
        for removal in [
            Removal::Bridge("nl-none-such".into()),
            Removal::HostEnd("nl-none-such".into()),
            Removal::Setting { key: "net/ipv4/no_such".into(), former: "0".into() },
            Removal::Namespace(nowhere.join("parking")),
            Removal::Pins(nowhere.join("pins")),
            Removal::Folder(nowhere.clone()),
            Removal::File(nowhere.join("file")),
        ] {
            assert_eq!(removal.perform(), Ok(()), "{}", removal.line());
        }
    }

    #[test]
    fn a_file_goes_with_a_folder_of_ours_that_is_empty_then_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["nestless", "net.d"].map(|name| folder.path().join(name));
        let files = [ours.join("ledger"), ours.join("other"), theirs.join("conflist")];
        for file in &files {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        Removal::File(files[0].clone()).perform().unwrap();
        assert!(!files[0].exists() && files[1].exists());
        Removal::File(files[1].clone()).perform().unwrap();
        Removal::File(files[2].clone()).perform().unwrap();
        assert!(!ours.exists() && theirs.exists() && !files[2].exists());
    }

    #[test]
    fn what_cannot_be_removed_is_told() {
        let error =
            Removal::Setting { key: "kernel/ostype".into(), former: "x".into() }.perform().unwrap_err();
        assert!(error.starts_with("setting kernel.ostype, back to x stays: "), "{error}");
    }
}
