//! The reflector and its tables in the kernel.

use crate::ebpf::{EbpfError, pins::Object};
use aya::{
    maps::{HashMap, HashOfMaps, Map, MapData, PerCpuHashMap},
    programs::SchedClassifier,
};
use nestless_bpf::reflector::{
    COUNTERS, Counters, CountersKey, ENDPOINTS, Endpoint, FLOWS, FRAGMENTS, FlowsKey, GROUPS, Group, HEARD,
    LAYOUT, OBJECT, REFLECT, VERSION,
};
use nestless_support::hook::Way;
use std::path::Path;

pub(super) const NAME: &str = "reflector";

pub(super) struct Pinned {
    pub(super) way: Way,
    pub(super) reflect: SchedClassifier,
    pub(super) endpoints: HashMap<MapData, u32, Endpoint>,
    pub(super) groups: HashMap<MapData, u32, Group>,
    pub(super) flows: HashOfMaps<MapData, FlowsKey>,
    pub(super) fragments: HashOfMaps<MapData, u32>,
    pub(super) heard: HashMap<MapData, u32, u32>,
    pub(super) counters: PerCpuHashMap<MapData, CountersKey, Counters>,
}

/// Takes up what is pinned below `dir`, and loads what is not.
pub(super) fn open(dir: &Path, way: Way) -> Result<Pinned, EbpfError> {
    let object = Object {
        name: NAME,
        bytes: OBJECT,
        layout: LAYOUT,
        version: VERSION,
        tables: &[ENDPOINTS, GROUPS, FLOWS, FRAGMENTS, HEARD, COUNTERS],
        programs: &[REFLECT],
    };
    let pins = object.open(dir)?;
    Ok(Pinned {
        way,
        reflect: pins.program(REFLECT)?,
        endpoints: pins.table(ENDPOINTS, Map::HashMap)?,
        groups: pins.table(GROUPS, Map::HashMap)?,
        flows: pins.table(FLOWS, Map::HashOfMaps)?,
        fragments: pins.table(FRAGMENTS, Map::HashOfMaps)?,
        heard: pins.table(HEARD, Map::HashMap)?,
        counters: pins.table(COUNTERS, Map::PerCpuHashMap)?,
    })
}
