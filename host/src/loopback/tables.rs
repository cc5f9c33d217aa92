//! The in-kernel tables.

use super::{
    convert,
    error::LoopbackError,
    inner,
    pinned::{NAME, Pinned},
};
use crate::ebpf::rows::{self, absent, optional};
use aya::maps::{HashMap, Map, MapData, MapError};
use nestless_bpf::reflector::{
    Counters, CountersKey, Course, Endpoint, FLOWS_PER_GROUP, FRAGMENTED_PER_GROUP, Flow as FlowRow, FlowKey,
    FlowsKey, FragmentKey, Group as GroupRow, MAX_ENDPOINTS, MAX_GROUPS,
};
use nestless_model::loopback::{Flow, GroupId, MAX_FRACTIONS, Place, Places, Tuple};

/// A group as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedGroup {
    /// Which.
    pub group: GroupId,
    /// Who is in it.
    pub members: Vec<ObservedMember>,
}

/// An endpoint as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedMember {
    /// Its place.
    pub place: Place,
    /// Its host end, which may be gone.
    pub ifindex: u32,
    /// The link is there and has this version's reflector.
    pub attached: bool,
}

/// A link's place in a group, by its own row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) group: GroupId,
    pub(super) place: Place,
    /// The group has let it go, and may not have told everybody.
    pub(super) leaving: bool,
}

/// The counters of those that left are added up here, behind the last place.
const FORMER: u32 = MAX_FRACTIONS as u32;

type FlowTable = HashMap<MapData, FlowKey, FlowRow>;

pub(super) fn group(pinned: &Pinned, group: GroupId) -> Result<Option<GroupRow>, LoopbackError> {
    optional(pinned.groups.get(&group.get(), 0)).map_err(failed("read", "groups"))
}

pub(super) fn set_group(pinned: &mut Pinned, group: GroupId, row: GroupRow) -> Result<(), LoopbackError> {
    pinned.groups.insert(group.get(), row, 0).map_err(full_or_failed("groups", MAX_GROUPS))
}

/// Gives a group its own tables; it has no members yet. Its row comes first, and goes last: what is cut short in between is
/// a group of nobody, which is forgotten when somebody looks.
pub(super) fn create(pinned: &mut Pinned, group: GroupId) -> Result<GroupRow, LoopbackError> {
    set_group(pinned, group, GroupRow::default())?;
    for protocol in convert::PROTOCOLS {
        let flows = inner::lru_hash::<FlowKey, FlowRow>(FLOWS_PER_GROUP)
            .map_err(MapError::IoError)
            .and_then(MapData::from_fd)
            .map_err(failed("write", "flows"))?;
        pinned.flows.insert(flows_key(group, protocol), &flows, 0).map_err(failed("write", "flows"))?;
    }
    let fragments = inner::lru_hash::<FragmentKey, Course>(FRAGMENTED_PER_GROUP)
        .map_err(MapError::IoError)
        .and_then(MapData::from_fd)
        .map_err(failed("write", "fragments"))?;
    pinned.fragments.insert(group.get(), &fragments, 0).map_err(failed("write", "fragments"))?;
    forget_heard(pinned, group)?;
    write_counters(pinned, group.get(), FORMER, Counters::default())?;
    Ok(GroupRow::default())
}

pub(super) fn dissolve(pinned: &mut Pinned, group: GroupId) -> Result<(), LoopbackError> {
    let row = self::group(pinned, group)?;
    if let Some(row) = row {
        set_group(pinned, group, GroupRow { members: 0, ..row })?;
    }
    for place in Place::all() {
        let link = row.map_or(0, |row| row.link[place.index()]);
        if endpoint(pinned, link)?.is_some_and(|endpoint| endpoint.group == group.get()) {
            remove_endpoint(pinned, link)?;
        }
    }
    for protocol in convert::PROTOCOLS {
        absent(pinned.flows.remove(&flows_key(group, protocol))).map_err(failed("write", "flows"))?;
    }
    absent(pinned.fragments.remove(&group.get())).map_err(failed("write", "fragments"))?;
    absent(pinned.heard.remove(&group.get())).map_err(failed("write", "heard"))?;
    for place in 0..=FORMER {
        absent(pinned.counters.remove(&key(group.get(), place))).map_err(failed("write", "counters"))?;
    }
    absent(pinned.groups.remove(&group.get())).map_err(failed("write", "groups"))
}

pub(super) fn endpoint(pinned: &Pinned, ifindex: u32) -> Result<Option<Endpoint>, LoopbackError> {
    optional(pinned.endpoints.get(&ifindex, 0)).map_err(failed("read", "endpoints"))
}

pub(super) fn set_endpoint(pinned: &mut Pinned, ifindex: u32, row: Endpoint) -> Result<(), LoopbackError> {
    pinned.endpoints.insert(ifindex, row, 0).map_err(full_or_failed("endpoints", MAX_ENDPOINTS))
}

pub(super) fn remove_endpoint(pinned: &mut Pinned, ifindex: u32) -> Result<(), LoopbackError> {
    absent(pinned.endpoints.remove(&ifindex)).map_err(failed("write", "endpoints"))
}

/// The indexes of all links that have a row, endpoints or not.
pub(super) fn endpoints(pinned: &Pinned) -> Result<Vec<u32>, LoopbackError> {
    pinned.endpoints.keys().collect::<Result<_, _>>().map_err(failed("read", "endpoints"))
}

/// Where a link is an endpoint, or was the last one; `None` too for a row that its group does not know.
pub(super) fn seat(pinned: &Pinned, ifindex: u32) -> Result<Option<Seat>, LoopbackError> {
    let Some(endpoint) = endpoint(pinned, ifindex)? else { return Ok(None) };
    let (Some(id), Some(place)) = (GroupId::new(endpoint.group), Place::new(endpoint.place)) else {
        return Ok(None);
    };
    let known = group(pinned, id)?
        .filter(|row| row.link[place.index()] == ifindex && row.life[place.index()] == endpoint.life);
    Ok(known.map(|row| Seat { group: id, place, leaving: row.members & 1 << place.number() == 0 }))
}

/// Nobody has the place, nor is still leaving it.
pub(super) fn is_vacant(pinned: &Pinned, group: GroupId, place: Place) -> Result<bool, LoopbackError> {
    let Some(row) = self::group(pinned, group)? else { return Ok(true) };
    let last = seat(pinned, row.link[place.index()])?;
    let has_it = last.is_some_and(|seat| (seat.group, seat.place) == (group, place));
    Ok(!has_it && row.members & 1 << place.number() == 0)
}

/// Forgets a group that nobody is in.
pub(super) fn dissolve_empty(pinned: &mut Pinned, group: GroupId) -> Result<(), LoopbackError> {
    match self::group(pinned, group)? {
        Some(row) if row.members == 0 => dissolve(pinned, group),
        _ => Ok(()),
    }
}

pub(super) fn flows(pinned: &Pinned, group: GroupId) -> Result<Vec<(FlowKey, Tuple, Flow)>, LoopbackError> {
    let mut rows = Vec::new();
    for protocol in convert::PROTOCOLS {
        let Some(table) = flow_table(pinned, group, protocol)? else { continue };
        for row in table.iter() {
            let (key, row) = row.map_err(failed("read", "flows"))?;
            rows.extend(
                convert::tuple(&key).zip(convert::flow(&row)).map(|(tuple, flow)| (key, tuple, flow)),
            );
        }
    }
    Ok(rows)
}

pub(super) fn remove_flow(pinned: &Pinned, group: GroupId, key: &FlowKey) -> Result<(), LoopbackError> {
    let Some(mut table) = flow_table(pinned, group, key.protocol)? else { return Ok(()) };
    absent(table.remove(key)).map_err(failed("write", "flows"))
}

fn flow_table(pinned: &Pinned, group: GroupId, protocol: u8) -> Result<Option<FlowTable>, LoopbackError> {
    let data = optional(pinned.flows.get(&flows_key(group, protocol), 0)).map_err(failed("read", "flows"))?;
    data.map(|data| FlowTable::try_from(Map::LruHashMap(data))).transpose().map_err(failed("read", "flows"))
}

/// Starts a place's counters again; what it had counted stays the group's.
pub(super) fn reset_counters(pinned: &mut Pinned, group: GroupId, place: Place) -> Result<(), LoopbackError> {
    let mut former = read_counters(pinned, group.get(), FORMER)?;
    former.add(&read_counters(pinned, group.get(), place.number().into())?);
    write_counters(pinned, group.get(), FORMER, former)?;
    write_counters(pinned, group.get(), place.number().into(), Counters::default())
}

pub(super) fn counters(
    pinned: &Pinned,
    group: GroupId,
    place: Option<Place>,
) -> Result<Counters, LoopbackError> {
    if let Some(place) = place {
        return read_counters(pinned, group.get(), place.number().into());
    }
    let mut sum = Counters::default();
    for place in 0..=FORMER {
        sum.add(&read_counters(pinned, group.get(), place)?);
    }
    Ok(sum)
}

pub(super) fn strangers(pinned: &Pinned) -> Result<Counters, LoopbackError> {
    read_counters(pinned, 0, 0)
}

/// Makes the row in which frames from links of no group are counted.
pub(super) fn count_strangers(pinned: &mut Pinned) -> Result<(), LoopbackError> {
    if optional(pinned.counters.get(&key(0, 0), 0)).map_err(failed("read", "counters"))?.is_some() {
        return Ok(());
    }
    write_counters(pinned, 0, 0, Counters::default())
}

pub(super) fn observe(
    pinned: &Pinned,
    is_attached: impl Fn(u32) -> Result<bool, LoopbackError>,
) -> Result<Vec<ObservedGroup>, LoopbackError> {
    let mut all = Vec::new();
    for row in pinned.groups.iter() {
        let (number, row) = row.map_err(failed("read", "groups"))?;
        let Some(group) = GroupId::new(number) else { continue };
        let mut members = Vec::new();
        for place in Place::all().filter(|place| row.members & 1 << place.number() != 0) {
            let ifindex = row.link[place.index()];
            members.push(ObservedMember { place, ifindex, attached: is_attached(ifindex)? });
        }
        all.push(ObservedGroup { group, members });
    }
    all.sort_by_key(|observed| observed.group);
    Ok(all)
}

/// Who has answered a probe since [`forget_heard`], by family.
pub(super) fn heard(pinned: &Pinned, group: GroupId) -> Result<[Places; 2], LoopbackError> {
    let both = optional(pinned.heard.get(&group.get(), 0)).map_err(failed("read", "heard"))?.unwrap_or(0);
    Ok([Places(both as u16), Places((both >> 16) as u16)])
}

/// An answer that comes at this very moment may be lost, or count for the next probe: it says that somebody is there.
pub(super) fn forget_heard(pinned: &mut Pinned, group: GroupId) -> Result<(), LoopbackError> {
    pinned.heard.insert(group.get(), 0, 0).map_err(failed("write", "heard"))
}

fn flows_key(group: GroupId, protocol: u8) -> FlowsKey {
    FlowsKey { group: group.get(), protocol: protocol.into() }
}

fn key(group: u32, place: u32) -> CountersKey {
    CountersKey { group, place }
}

fn read_counters(pinned: &Pinned, group: u32, place: u32) -> Result<Counters, LoopbackError> {
    let shares = optional(pinned.counters.get(&key(group, place), 0)).map_err(failed("read", "counters"))?;
    let mut sum = Counters::default();
    shares.iter().flat_map(|shares| shares.iter()).for_each(|share| sum.add(share));
    Ok(sum)
}

fn write_counters(pinned: &mut Pinned, group: u32, place: u32, sum: Counters) -> Result<(), LoopbackError> {
    rows::shares(sum)
        .and_then(|shares| pinned.counters.insert(key(group, place), shares, 0))
        .map_err(failed("write", "counters"))
}

fn failed(operation: &'static str, table: &'static str) -> impl Fn(MapError) -> LoopbackError {
    move |source| rows::failed(operation, NAME, table, None)(source).into()
}

/// For a table of so many rows: the kernel says E2BIG when there is no room for another.
fn full_or_failed(table: &'static str, most: u32) -> impl Fn(MapError) -> LoopbackError {
    move |source| match &source {
        MapError::SyscallError(error) if error.io_error.raw_os_error() == Some(libc::E2BIG) => {
            LoopbackError::NoRoom { table, most }
        }
        _ => failed("write", table)(source),
    }
}
