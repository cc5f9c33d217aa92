//! Programs and tables in the eBPF file system, where they outlive the daemon.
//!
//! ```text
//! <dir>/tables-<layout>/guard_entries, ...    kept as long as the layout of the types is the same
//! <dir>/programs-<version>/guard_sent, ...    of exactly the object that this daemon embeds
//! ```
//!
//! Removing a pin never opens a link: its filters hold their program, and the program its tables.

use super::error::EbpfError;
use aya::{
    EbpfLoader,
    maps::{Map, MapData, MapError},
    programs::{ProgramError, SchedClassifier},
};
use nestless_support::crash_point;
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Where eBPF file systems are mounted by custom.
const MOUNT_POINT: &str = "/sys/fs/bpf";

/// Programs and tables that this daemon embeds.
pub(crate) struct Object {
    /// For people, and for the places where tests end the daemon.
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    pub(crate) layout: &'static str,
    pub(crate) version: &'static str,
    pub(crate) tables: &'static [&'static str],
    pub(crate) programs: &'static [&'static str],
}

/// The same in the kernel, pinned.
pub(crate) struct Pins<'a> {
    object: &'a Object,
    tables: PathBuf,
    programs: PathBuf,
}

impl Object {
    /// Takes up what is pinned below `dir`, loads what is not, and removes what is of other versions.
    pub(crate) fn open(&self, dir: &Path) -> Result<Pins<'_>, EbpfError> {
        ensure_file_system(dir).map_err(|source| match source.raw_os_error() {
            Some(libc::EPERM) => EbpfError::load(self.name, source),
            _ => EbpfError::FileSystem { path: dir.to_owned(), source },
        })?;
        let tables = dir.join(format!("tables-{}", self.layout));
        let programs = dir.join(format!("programs-{}", self.version));
        let pins = Pins { object: self, tables, programs };
        for path in [&pins.tables, &pins.programs] {
            fs::create_dir_all(path).map_err(|source| failed(path, source))?;
        }
        if !pins.are_complete() {
            pins.load()?;
        }
        for entry in fs::read_dir(dir).map_err(|source| failed(dir, source))? {
            let path = entry.map_err(|source| failed(dir, source))?.path();
            if path != pins.tables && path != pins.programs {
                remove(&path)?;
            }
        }
        Ok(pins)
    }
}

impl Pins<'_> {
    pub(crate) fn program(&self, name: &str) -> Result<SchedClassifier, EbpfError> {
        SchedClassifier::from_pin(self.programs.join(name))
            .map_err(|source| EbpfError::load(self.object.name, source))
    }

    pub(crate) fn table<T: TryFrom<Map, Error = MapError>>(
        &self,
        name: &str,
        kind: impl Fn(MapData) -> Map,
    ) -> Result<T, EbpfError> {
        MapData::from_pin(self.tables.join(name))
            .and_then(|data| T::try_from(kind(data)))
            .map_err(|source| EbpfError::load(self.object.name, source))
    }

    /// Whether all programs are there and use the very tables that are.
    fn are_complete(&self) -> bool {
        let id = |name: &&str| Ok(MapData::from_pin(self.tables.join(name))?.info()?.id());
        let Ok(pinned) = self.object.tables.iter().map(id).collect::<Result<BTreeSet<u32>, MapError>>()
        else {
            return false;
        };
        let uses_them = |name: &&str| -> Result<bool, ProgramError> {
            let used = SchedClassifier::from_pin(self.programs.join(name))?.info()?.map_ids()?;
            let used = used.unwrap_or_default();
            Ok(!used.is_empty() && used.iter().all(|id| pinned.contains(id)))
        };
        self.object.programs.iter().all(|name| uses_them(name).unwrap_or(false))
    }

    fn load(&self) -> Result<(), EbpfError> {
        let Object { name: object, bytes, tables, programs, .. } = self.object;
        let mut loader = EbpfLoader::new();
        for name in *tables {
            loader.map_pin_path(name, self.tables.join(name));
        }
        crash_point::reached(&format!("{object}.load.before"));
        let mut loaded = loader.load(bytes).map_err(|source| EbpfError::load(object, source))?;
        for name in *programs {
            let path = self.programs.join(name);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(&path, source)),
                _ => {}
            }
            let program: &mut SchedClassifier = loaded
                .program_mut(name)
                .expect("the object is embedded, and the crate's tests load it")
                .try_into()
                .map_err(|source: ProgramError| EbpfError::load(object, source))?;
            program.load().map_err(|source| EbpfError::load(object, source))?;
            program.pin(&path).map_err(|source| EbpfError::Pin { path, source: Box::new(source) })?;
            crash_point::reached(&format!("{object}.load.after"));
        }
        Ok(())
    }
}

/// Mounts an eBPF file system at the customary place when `dir` lies there and there is none.
fn ensure_file_system(dir: &Path) -> io::Result<()> {
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

/// Removes a directory of pins and all below it. Succeeds when there is none.
pub(crate) fn remove(path: &Path) -> Result<(), EbpfError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed(path, source)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, source: io::Error) -> EbpfError {
    EbpfError::Pin { path: path.to_owned(), source: Box::new(source) }
}
