//! Why nobody is reached at a path, in the words of who wrote the path down.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Why `what` ("QEMU's monitor") cannot be reached at `path`, and what to do.
pub fn unreachable(what: &str, path: &Path, error: &io::Error) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    told(what, path, error, &mounts)
}

fn told(what: &str, path: &Path, error: &io::Error, mounts: &str) -> String {
    let shown = path.display();
    if let Some((folder, setting)) = hidden(path, mounts) {
        return format!(
            "{what} {shown} cannot be seen: `{setting}` of nestlessd's unit hides what others have in {}; put it \
             elsewhere, such as below /run, or lift that with `systemctl edit nestlessd`",
            folder.display()
        );
    }
    match error.kind() {
        ErrorKind::NotFound => match path.parent().filter(|folder| !folder.exists()) {
            Some(folder) => {
                format!("there is no {shown}, and no folder {}: is the path right?", folder.display())
            }
            None => format!("there is no {shown}: is the VM started, and does it make {what} there?"),
        },
        ErrorKind::ConnectionRefused => {
            format!("nobody listens on {shown}: it was left by a VM that has ended, or is no socket")
        }
        ErrorKind::PermissionDenied => format!(
            "no permission to open {shown}: nestlessd runs as root, so look at its unit's capabilities \
             (CAP_DAC_OVERRIDE), and at AppArmor or SELinux"
        ),
        _ => format!("{what} {shown} cannot be opened: {error}"),
    }
}

/// The folder above `path` that a service manager put another in the place of, and the setting that made it do so
/// (systemd.exec(5)): such a mount has a root of its own making (proc_pid_mountinfo(5), field 4).
fn hidden(path: &Path, mounts: &str) -> Option<(PathBuf, &'static str)> {
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(3);
        let (root, at) = (fields.next()?.to_owned(), PathBuf::from(fields.next()?));
        path.starts_with(&at).then_some((root, at))
    };
    // The last of the deepest is the one that is seen.
    let mounts = mounts.lines().filter_map(mount);
    let (root, at) = mounts.max_by_key(|(_, at)| at.components().count())?;
    if root.contains("/systemd-private-") {
        return Some((at, "PrivateTmp"));
    }
    if root.contains("/systemd/inaccessible") {
        let homes = ["/home", "/root", "/run/user"].map(Path::new).contains(&at.as_path());
        return Some((at, if homes { "ProtectHome" } else { "InaccessiblePaths" }));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a service with PrivateTmp and ProtectHome sees them (systemd 252).
    const MOUNTS: &str = "\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:26 / /run rw - tmpfs tmpfs rw
40 22 0:26 /systemd/inaccessible/dir /home rw - tmpfs tmpfs ro
41 22 0:26 /systemd/inaccessible/dir /root rw - tmpfs tmpfs ro
42 22 8:1 /tmp/systemd-private-0f-nestlessd.service-Xy/tmp /tmp rw - ext4 /dev/sda1 rw
43 22 8:1 /var/tmp/systemd-private-0f-nestlessd.service-Zz/tmp /var/tmp rw - ext4 /dev/sda1 rw
";

    fn of(path: &str, kind: ErrorKind, mounts: &str) -> String {
        told("QEMU's monitor", Path::new(path), &kind.into(), mounts)
    }

    #[test]
    fn what_the_unit_hides_is_told() {
        for (path, setting) in [
            ("/tmp/vm1.qmp", "`PrivateTmp`"),
            ("/var/tmp/a/b", "`PrivateTmp`"),
            ("/home/me/vm1.qmp", "`ProtectHome`"),
        ] {
            let told = of(path, ErrorKind::NotFound, MOUNTS);
            assert!(told.contains(setting) && told.contains(path), "{told}");
            assert!(!of(path, ErrorKind::NotFound, "22 1 8:1 / / rw - ext4 x rw\n").contains("hides"));
        }
        assert!(of("/home/me/vm1.qmp", ErrorKind::PermissionDenied, MOUNTS).contains("`ProtectHome`"));
        assert!(!of("/run/vm1.qmp", ErrorKind::NotFound, MOUNTS).contains("hides"));
    }

    #[test]
    fn every_reason_says_where_and_what_to_do() {
        for (path, kind, expected) in [
            ("/run/no-such-vm.qmp", ErrorKind::NotFound, "is the VM started"),
            ("/no/such/folder/qmp", ErrorKind::NotFound, "no folder /no/such/folder: is the path right?"),
            ("/run/vm1.qmp", ErrorKind::ConnectionRefused, "nobody listens on /run/vm1.qmp"),
            ("/run/vm1.qmp", ErrorKind::PermissionDenied, "no permission to open /run/vm1.qmp"),
            ("/run/vm1.qmp", ErrorKind::InvalidInput, "QEMU's monitor /run/vm1.qmp cannot be opened"),
        ] {
            let told = of(path, kind, MOUNTS);
            assert!(told.contains(expected) && told.contains(path), "{told}");
        }
    }
}
