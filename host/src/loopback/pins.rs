//! The program and its tables in the eBPF file system, where they outlive the daemon.

use super::error::LoopbackError;
use crate::ebpf_file_system;
use aya::{
    EbpfLoader,
    maps::{HashMap, HashOfMaps, Map, MapData, MapError, PerCpuHashMap},
    programs::SchedClassifier,
};
use nestless_bpf::reflector::{
    COUNTERS, Counters, CountersKey, ENDPOINTS, Endpoint, FLOWS, FRAGMENTS, GROUPS, Group, LAYOUT, OBJECT,
    REFLECT, VERSION,
};
use nestless_support::crash_point;
use std::{collections::BTreeSet, fs, io, path::Path};

const TABLES: [&str; 5] = [ENDPOINTS, GROUPS, FLOWS, FRAGMENTS, COUNTERS];

/// The program and its tables, in the kernel and pinned.
pub(super) struct Pinned {
    pub(super) reflect: SchedClassifier,
    pub(super) endpoints: HashMap<MapData, u32, Endpoint>,
    pub(super) groups: HashMap<MapData, u32, Group>,
    pub(super) flows: HashOfMaps<MapData, u32>,
    pub(super) fragments: HashOfMaps<MapData, u32>,
    pub(super) counters: PerCpuHashMap<MapData, CountersKey, Counters>,
}

/// Takes up what is pinned below `dir`, and loads what is not.
pub(super) fn open(dir: &Path) -> Result<Pinned, LoopbackError> {
    let file_system = |source| LoopbackError::FileSystem { path: dir.to_owned(), source };
    ebpf_file_system::ensure(dir).map_err(file_system)?;
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
    let mut pinned = Pinned {
        reflect: SchedClassifier::from_pin(programs.join(REFLECT)).map_err(LoopbackError::load)?,
        endpoints: table(&tables, ENDPOINTS, Map::HashMap)?,
        groups: table(&tables, GROUPS, Map::HashMap)?,
        flows: table(&tables, FLOWS, Map::HashOfMaps)?,
        fragments: table(&tables, FRAGMENTS, Map::HashOfMaps)?,
        counters: table(&tables, COUNTERS, Map::PerCpuHashMap)?,
    };
    super::tables::count_strangers(&mut pinned)?;
    Ok(pinned)
}

/// Removes a directory of pins and all below it. Succeeds when there is none.
pub(super) fn remove(path: &Path) -> Result<(), LoopbackError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(pin_error(path, source)),
        _ => Ok(()),
    }
}

fn table<T: TryFrom<Map, Error = MapError>>(
    dir: &Path,
    name: &str,
    kind: impl Fn(MapData) -> Map,
) -> Result<T, LoopbackError> {
    MapData::from_pin(dir.join(name)).and_then(|data| T::try_from(kind(data))).map_err(LoopbackError::load)
}

/// Whether the program is there and uses the very tables that are.
fn is_complete(tables: &Path, programs: &Path) -> bool {
    let Ok(pinned) = TABLES
        .iter()
        .map(|name| Ok(MapData::from_pin(tables.join(name))?.info()?.id()))
        .collect::<Result<BTreeSet<u32>, MapError>>()
    else {
        return false;
    };
    let used = SchedClassifier::from_pin(programs.join(REFLECT))
        .and_then(|program| program.info())
        .and_then(|info| info.map_ids());
    used.is_ok_and(|used| {
        used.is_some_and(|used| used.iter().all(|id| pinned.contains(id)) && !used.is_empty())
    })
}

fn load(tables: &Path, programs: &Path) -> Result<(), LoopbackError> {
    let mut loader = EbpfLoader::new();
    for name in TABLES {
        loader.map_pin_path(name, tables.join(name));
    }
    crash_point::reached("loopback.load.before");
    let mut object = loader.load(OBJECT).map_err(LoopbackError::load)?;
    let path = programs.join(REFLECT);
    remove_file(&path)?;
    let program: &mut SchedClassifier = object
        .program_mut(REFLECT)
        .expect("the object is embedded, and the crate's tests load it")
        .try_into()
        .map_err(|error: aya::programs::ProgramError| LoopbackError::load(error))?;
    program.load().map_err(LoopbackError::load)?;
    program.pin(&path).map_err(|source| LoopbackError::Pin { path, source: Box::new(source) })?;
    crash_point::reached("loopback.load.after");
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), LoopbackError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(pin_error(path, source)),
        _ => Ok(()),
    }
}

fn pin_error(path: &Path, source: io::Error) -> LoopbackError {
    LoopbackError::Pin { path: path.to_owned(), source: Box::new(source) }
}
