//! An endpoint leaves its group.
//!
//! ```text
//! group's row without it -> each of the others told -> its own row away
//! ```
//! Whoever finds a row whose group has let the endpoint go, goes on from there: a daemon may die in between.

use super::{
    convert,
    error::LoopbackError,
    frame,
    inject::Injector,
    pinned::Pinned,
    tables::{self, Seat},
};
use nestless_bpf::reflector::Group as GroupRow;
use nestless_model::loopback::{Farewell, GroupId, Place, farewell};
use nestless_support::crash_point;

/// Takes a link out of the group that its row names, and forgets the group with its last. Returns what it left.
pub(super) fn vacate(pinned: &mut Pinned, ifindex: u32) -> Result<Option<(GroupId, Place)>, LoopbackError> {
    let seat = tables::seat(pinned, ifindex)?;
    if let Some(Seat { group, place, .. }) = seat {
        depart(pinned, group, place)?;
        tables::dissolve_empty(pinned, group)?;
    }
    // It may be of a join that was cut short, before the group said the same.
    tables::remove_endpoint(pinned, ifindex)?;
    Ok(seat.map(|seat| (seat.group, seat.place)))
}

/// Takes an endpoint out, and tells the others. Returns how many were told. Its own row goes last: as long as it is there,
/// somebody may not have been told.
pub(super) fn depart(pinned: &mut Pinned, group: GroupId, leaver: Place) -> Result<usize, LoopbackError> {
    let Some(row) = tables::group(pinned, group)? else { return Ok(0) };
    let link = row.link[leaver.index()];
    let left = GroupRow { members: row.members & !(1 << leaver.number()), ..row };
    crash_point::reached("loopback.leave.before");
    tables::set_group(pinned, group, left)?;
    crash_point::reached("loopback.leave.after");
    let view = convert::group(&GroupRow { members: row.members | 1 << leaver.number(), ..row });
    let (mut told, mut failure, mut injector) = (0, None, None);
    for (key, tuple, flow) in tables::flows(pinned, group)? {
        let Some(farewell) = farewell(&view, &tuple, &flow, leaver) else { continue };
        tables::remove_flow(pinned, group, &key)?;
        let Some(farewell) = farewell else { continue };
        match tell(&mut injector, &left, &farewell) {
            Ok(()) => told += 1,
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    crash_point::reached("loopback.forget.before");
    if let Some(endpoint) = tables::endpoint(pinned, link)?
        && endpoint.group == group.get()
        && endpoint.place == leaver.number()
    {
        tables::remove_endpoint(pinned, link)?;
    }
    crash_point::reached("loopback.forget.after");
    Ok(told)
}

/// Sends what an endpoint that stays shall hear, out of its host end.
pub(super) fn tell(
    injector: &mut Option<Injector>,
    group: &GroupRow,
    farewell: &Farewell,
) -> Result<(), LoopbackError> {
    let (Farewell::Provoke { to, .. } | Farewell::Refuse { to, .. }) = farewell;
    let ifindex = group.link[to.index()];
    let failed = |source| LoopbackError::Tell { ifindex, source };
    if injector.is_none() {
        *injector = Some(Injector::open().map_err(failed)?);
    }
    injector.as_ref().map_or(Ok(()), |injector| injector.send(ifindex, &frame::of(farewell))).map_err(failed)
}
