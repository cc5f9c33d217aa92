//! Endpoints enter their group.
//!
//! ```text
//! their own rows -> the group's row with them -> the reflector on their links
//! ```
//! A link's row is without effect until the group says the same. What a daemon that died had begun is taken away as if it had
//! left, or begun anew.

use super::{departure::depart, error::LoopbackError, pinned::Pinned, tables};
use nestless_bpf::reflector::{Endpoint, Group as GroupRow};
use nestless_model::loopback::{GroupId, Place};
use nestless_support::crash_point;

/// Makes a link the group's endpoint at a place; whoever has it leaves.
pub(super) fn enter(
    pinned: &mut Pinned,
    group: GroupId,
    place: Place,
    ifindex: u32,
) -> Result<(), LoopbackError> {
    if !tables::is_vacant(pinned, group, place)? {
        depart(pinned, group, place)?;
    }
    let entered = seat(pinned, group, &[(place, ifindex)]);
    if entered.is_err() {
        // It may have been made for this one. What is not forgotten now, the next sweep forgets.
        let _ = tables::dissolve_empty(pinned, group);
    }
    entered
}

/// Makes a group that nobody is in, with these members.
pub(super) fn restore(
    pinned: &mut Pinned,
    group: GroupId,
    members: &[(Place, u32)],
) -> Result<(), LoopbackError> {
    let known = tables::group(pinned, group)?.is_some_and(|row| row.members != 0);
    if known || members.is_empty() { Ok(()) } else { seat(pinned, group, members) }
}

/// All of them in one step, as packets see it.
fn seat(pinned: &mut Pinned, group: GroupId, members: &[(Place, u32)]) -> Result<(), LoopbackError> {
    let mut row = match tables::group(pinned, group)? {
        Some(row) => row,
        None => tables::create(pinned, group)?,
    };
    for (place, ifindex) in members {
        tables::reset_counters(pinned, group, *place)?;
        row = with(row, *place, *ifindex);
        let endpoint =
            Endpoint { group: group.get(), place: place.number(), life: row.epoch, ..Endpoint::default() };
        crash_point::reached("loopback.join.before");
        tables::set_endpoint(pinned, *ifindex, endpoint)?;
        crash_point::reached("loopback.endpoint.after");
    }
    tables::set_group(pinned, group, row)
}

fn with(mut row: GroupRow, place: Place, ifindex: u32) -> GroupRow {
    row.epoch = row.epoch.wrapping_add(1);
    row.life[place.index()] = row.epoch;
    row.link[place.index()] = ifindex;
    row.members |= 1 << place.number();
    row.silent = row.silent.map(|silent| silent & !(1 << place.number()));
    row
}
