//! Programs and tables in the eBPF file system, where they outlive the daemon.
//!
//! ```text
//! <pin_dir>/tables-<layout>/guard_entries, ...    kept as long as the layout of the types is the same
//! <pin_dir>/programs-<version>/guard_sent, ...    of exactly the object that this daemon embeds
//! ```
//!
//! Removing a pin never opens a link: its filters hold their program, and the program its tables.

use super::error::GuardError;
use crate::ebpf_file_system;
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuHashMap},
    programs::{ProgramError, SchedClassifier},
};
use nestless_bpf::guard::{
    BUCKETS, Buckets, COUNTERS, Counters, ENTRIES, Entry, INSTANCE, Instance, LAYOUT, OBJECT, RECEIVED, SENT,
    VERSION,
};
use nestless_support::crash_point;
use std::{collections::BTreeSet, fs, io, path::Path};

const TABLES: [&str; 4] = [ENTRIES, BUCKETS, COUNTERS, INSTANCE];

/// Programs and tables, in the kernel and pinned.
pub(super) struct Pinned {
    pub(super) sent: SchedClassifier,
    pub(super) received: SchedClassifier,
    pub(super) entries: HashMap<MapData, u32, Entry>,
    pub(super) buckets: HashMap<MapData, u32, Buckets>,
    pub(super) counters: PerCpuHashMap<MapData, u32, Counters>,
    pub(super) instance: Array<MapData, Instance>,
}

/// Takes up what is pinned below `dir`, and loads what is not.
pub(super) fn open(dir: &Path) -> Result<Pinned, GuardError> {
    ebpf_file_system::ensure(dir).map_err(|source| match source.raw_os_error() {
        Some(libc::EPERM) => GuardError::load(source),
        _ => GuardError::FileSystem { path: dir.to_owned(), source },
    })?;
    let tables = dir.join(format!("tables-{LAYOUT}"));
    let programs = dir.join(format!("programs-{VERSION}"));
    for path in [&tables, &programs] {
        fs::create_dir_all(path).map_err(|source| pin_error(path, source))?;
    }
    if !is_complete(&tables, &programs) {
        load(&tables, &programs)?;
    }
    for entry in fs::read_dir(dir).map_err(|source| pin_error(dir, source))? {
        let path = entry.map_err(|source| pin_error(dir, source))?.path();
        if path != tables && path != programs {
            remove(&path)?;
        }
    }
    let program = |name| SchedClassifier::from_pin(programs.join(name)).map_err(GuardError::load);
    Ok(Pinned {
        sent: program(SENT)?,
        received: program(RECEIVED)?,
        entries: table(&tables, ENTRIES, Map::HashMap)?,
        buckets: table(&tables, BUCKETS, Map::HashMap)?,
        counters: table(&tables, COUNTERS, Map::PerCpuHashMap)?,
        instance: table(&tables, INSTANCE, Map::Array)?,
    })
}

/// Removes a directory of pins and all below it. Succeeds when there is none.
pub(super) fn remove(path: &Path) -> Result<(), GuardError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(pin_error(path, source)),
        _ => Ok(()),
    }
}

fn table<T: TryFrom<Map, Error = MapError>>(
    dir: &Path,
    name: &str,
    kind: impl Fn(MapData) -> Map,
) -> Result<T, GuardError> {
    MapData::from_pin(dir.join(name)).and_then(|data| T::try_from(kind(data))).map_err(GuardError::load)
}

/// Whether both programs are there and use the very tables that are.
fn is_complete(tables: &Path, programs: &Path) -> bool {
    let Ok(pinned) = TABLES
        .iter()
        .map(|name| Ok(MapData::from_pin(tables.join(name))?.info()?.id()))
        .collect::<Result<BTreeSet<u32>, MapError>>()
    else {
        return false;
    };
    let uses_them = |name: &str| -> Result<bool, ProgramError> {
        let used = SchedClassifier::from_pin(programs.join(name))?.info()?.map_ids()?.unwrap_or_default();
        Ok(!used.is_empty() && used.iter().all(|id| pinned.contains(id)))
    };
    [SENT, RECEIVED].into_iter().all(|name| uses_them(name).unwrap_or(false))
}

fn load(tables: &Path, programs: &Path) -> Result<(), GuardError> {
    let mut loader = EbpfLoader::new();
    for name in TABLES {
        loader.map_pin_path(name, tables.join(name));
    }
    crash_point::reached("guard.load.before");
    let mut object: Ebpf = loader.load(OBJECT).map_err(GuardError::load)?;
    for name in [SENT, RECEIVED] {
        let path = programs.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(pin_error(&path, source)),
            _ => {}
        }
        let program: &mut SchedClassifier = object
            .program_mut(name)
            .expect("the object is embedded, and the crate's tests load it")
            .try_into()
            .map_err(GuardError::load)?;
        program.load().map_err(GuardError::load)?;
        program.pin(&path).map_err(|source| GuardError::Pin { path, source: Box::new(source) })?;
        crash_point::reached("guard.load.after");
    }
    Ok(())
}

fn pin_error(path: &Path, source: io::Error) -> GuardError {
    GuardError::Pin { path: path.to_owned(), source: Box::new(source) }
}
