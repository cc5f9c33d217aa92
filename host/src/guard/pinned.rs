//! The guard's programs and tables in the kernel.

use crate::ebpf::{EbpfError, pins::Object};
use aya::{
    maps::{HashMap, Map, MapData, PerCpuHashMap},
    programs::SchedClassifier,
};
use nestless_bpf::guard::{
    BUCKETS, Buckets, COUNTERS, Counters, ENTRIES, Entry, LAYOUT, OBJECT, RECEIVED, SENT, VERSION,
};
use nestless_support::hook::Way;
use std::path::Path;

pub(super) const NAME: &str = "guard";

pub(super) struct Pinned {
    pub(super) way: Way,
    pub(super) sent: SchedClassifier,
    pub(super) received: SchedClassifier,
    pub(super) entries: HashMap<MapData, u32, Entry>,
    pub(super) buckets: HashMap<MapData, u32, Buckets>,
    pub(super) counters: PerCpuHashMap<MapData, u32, Counters>,
}

/// Takes up what is pinned below `dir`, and loads what is not.
pub(super) fn open(dir: &Path, way: Way) -> Result<Pinned, EbpfError> {
    let object = Object {
        name: NAME,
        bytes: OBJECT,
        layout: LAYOUT,
        version: VERSION,
        tables: &[ENTRIES, BUCKETS, COUNTERS],
        programs: &[SENT, RECEIVED],
    };
    let pins = object.open(dir)?;
    Ok(Pinned {
        way,
        sent: pins.program(SENT)?,
        received: pins.program(RECEIVED)?,
        entries: pins.table(ENTRIES, Map::HashMap)?,
        buckets: pins.table(BUCKETS, Map::HashMap)?,
        counters: pins.table(COUNTERS, Map::PerCpuHashMap)?,
    })
}
