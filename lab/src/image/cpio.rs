//! Writes the archive format that the kernel unpacks at boot: "newc" (Documentation/driver-api/early-userspace/
//! buffer-format.rst). No root is needed, for device nodes and owners are only numbers in it.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
/// Beyond it a name would not fit PATH_MAX, and the kernel would skip the entry silently.
const NAME_MAX: usize = 4095;

/// What an entry is, and whose.
#[derive(Clone, Copy, Default)]
struct Head {
    /// Kind and permission bits.
    mode: u32,
    owner: (u32, u32),
    modified_unix_s: u32,
    device: (u32, u32),
}

impl Head {
    /// Of root's.
    fn of(mode: u32) -> Self {
        Self { mode, ..Self::default() }
    }
}

/// An archive under way. Directories above an entry are made as needed; an entry written twice is kept once, the first.
pub struct Archive<W> {
    out: W,
    written: BTreeSet<String>,
    inode: u32,
}

impl<W: Write> Archive<W> {
    /// Begins an archive on `out`.
    pub fn new(out: W) -> Self {
        Self { out, written: BTreeSet::new(), inode: 0 }
    }

    /// Adds a directory, with mode 0755.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, Head::of(DIRECTORY | 0o755), &[])
    }

    /// Adds a file; `mode` is its permission bits.
    ///
    /// # Errors
    /// When `out` fails, or the file has 4 GiB or more.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(path, Head::of(REGULAR | (mode & 0o7777)), content)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, Head::of(LINK | 0o777), target.as_bytes())
    }

    /// Adds a character device, with mode 0600.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        self.entry(path, Head { device: (major, minor), ..Head::of(CHARACTER_DEVICE | 0o600) }, &[])
    }

    /// Adds what lies at `from` on this host, with its mode, owner and time: a directory (without what is in it), a
    /// file or a symbolic link. Anything else is passed over.
    ///
    /// # Errors
    /// When `from` cannot be read, or `out` fails.
    pub fn copy(&mut self, path: &str, from: &Path) -> io::Result<()> {
        let metadata = from.symlink_metadata()?;
        let kind = metadata.file_type();
        let mode = metadata.permissions().mode() & 0o7777;
        let (mode, content) = if kind.is_dir() {
            (DIRECTORY | mode, Vec::new())
        } else if kind.is_symlink() {
            (LINK | mode, from.read_link()?.into_os_string().into_encoded_bytes())
        } else if kind.is_file() {
            (REGULAR | mode, std::fs::read(from)?)
        } else {
            return Ok(());
        };
        // Python takes a compiled module only beside a source of the time that it was compiled from.
        let modified_unix_s = u32::try_from(metadata.mtime()).unwrap_or_default();
        let owner = (metadata.uid(), metadata.gid());
        self.entry(path, Head { mode, owner, modified_unix_s, device: (0, 0) }, &content)
    }

    /// Whether the archive has an entry at `path`.
    pub fn contains(&self, path: &str) -> bool {
        self.written.contains(path.trim_matches('/'))
    }

    /// Ends the archive and gives `out` back.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.write("TRAILER!!!", Head::default(), &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, head: Head, content: &[u8]) -> io::Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || path.len() > NAME_MAX || path.contains('\0') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{path:?} cannot be a path in an archive"),
            ));
        }
        if let Some((parent, _)) = path.rsplit_once('/')
            && !self.written.contains(parent)
        {
            self.directory(parent)?;
        }
        if !self.written.insert(path.to_owned()) {
            return Ok(());
        }
        self.inode += 1;
        self.write(path, head, content)
    }

    fn write(&mut self, path: &str, head: Head, content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{path} has 4 GiB or more")))?;
        let name_size = u32::try_from(path.len() + 1).expect("NAME_MAX fits");
        // inode, mode, uid, gid, links, mtime, size, device of the archive (2), device (2), name size, checksum
        let Head { mode, owner: (user, group), modified_unix_s, device: (major, minor) } = head;
        let fields =
            [self.inode, mode, user, group, 1, modified_unix_s, size, 0, 0, major, minor, name_size, 0];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(path.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(header.len() + path.len() + 1)?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..length.next_multiple_of(4) - length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode, device and content.
    type Entry = (String, u32, (u32, u32), Vec<u8>);

    /// Every entry, the trailer included.
    fn read(mut bytes: &[u8]) -> Vec<Entry> {
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(&bytes[..6], b"070701");
            let field = |n: usize| {
                u32::from_str_radix(std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap(), 16).unwrap()
            };
            let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
            let name = std::str::from_utf8(&bytes[110..110 + name_size - 1]).unwrap().to_owned();
            let device = (field(9), field(10));
            let start = (110 + name_size).next_multiple_of(4);
            entries.push((name, mode, device, bytes[start..start + size].to_vec()));
            bytes = &bytes[(start + size).next_multiple_of(4)..];
        }
        entries
    }

    #[test]
    fn writes_what_a_reader_finds() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/usr/bin/tool", 0o755, b"12345").unwrap();
        archive.link("bin", "usr/bin").unwrap();
        archive.character_device("dev/console", 5, 1).unwrap();
        archive.file("usr/bin/tool", 0o644, b"ignored").unwrap();
        assert!(archive.contains("/usr/bin"));
        let entries = read(&archive.finish().unwrap());
        let names: Vec<_> = entries.iter().map(|e| e.0.as_str()).collect();
        assert_eq!(names, ["usr", "usr/bin", "usr/bin/tool", "bin", "dev", "dev/console", "TRAILER!!!"]);
        assert_eq!((entries[2].1, entries[2].3.as_slice()), (0o100_755, &b"12345"[..]));
        assert_eq!((entries[3].1, entries[3].3.as_slice()), (0o120_777, &b"usr/bin"[..]));
        assert_eq!((entries[5].1, entries[5].2), (0o020_600, (5, 1)));
    }

    #[test]
    fn refuses_a_path_that_the_kernel_would_not_make() {
        let mut archive = Archive::new(Vec::new());
        for bad in ["", "/", "a\0b"] {
            assert!(archive.directory(bad).is_err(), "{bad:?}");
        }
    }

    /// The system's own reader, where there is one, is the stricter judge.
    #[test]
    fn busybox_unpacks_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut archive = Archive::new(Vec::new());
        archive.file("deep/er/file", 0o600, b"content").unwrap();
        archive.link("link", "deep/er/file").unwrap();
        std::fs::write(dir.path().join("a.cpio"), archive.finish().unwrap()).unwrap();
        let status = std::process::Command::new("busybox")
            .args(["cpio", "-i", "-d", "-F", "a.cpio"])
            .current_dir(dir.path())
            .status()
            .expect("busybox-static is what labs boot with: apt-get install busybox-static");
        assert!(status.success());
        assert_eq!(std::fs::read(dir.path().join("link")).unwrap(), b"content");
    }
}
