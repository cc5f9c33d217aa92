//! Who answers at all: probes, and what follows from silence.
//!
//! ```text
//! answers to the last probe -> who is silent, in the group's row -> their open questions refused -> the next probe
//! ```
//! What is remembered between two passes is only a daemon's own count; one that starts anew begins to count anew.

use super::{
    convert,
    departure::tell,
    error::LoopbackError,
    frame,
    inject::Injector,
    pinned::Pinned,
    tables::{self, ObservedGroup},
};
use nestless_bpf::reflector::Group as GroupRow;
use nestless_model::loopback::{Family, GroupId, Hearing, Place, Places, overdue};
use std::collections::BTreeMap;

/// An endpoint fell silent, or is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its group.
    pub group: GroupId,
    /// Its place.
    pub place: Place,
    /// By which IP.
    pub family: Family,
    /// It does not answer.
    pub silent: bool,
}

/// What a daemon remembers of all groups.
#[derive(Debug, Default)]
pub(super) struct Listening(BTreeMap<GroupId, Known>);

#[derive(Debug, Default)]
struct Known {
    hearing: Hearing,
    lives: [u8; 16],
    probed: Places,
    /// Questions that were counted at the last pass.
    asked: u64,
}

impl Listening {
    /// One pass over all groups. Probed is who may have been asked something since the last one, and whoever is in doubt.
    pub(super) fn pass(&mut self, pinned: &mut Pinned) -> Result<Vec<Heard>, LoopbackError> {
        let groups = tables::observe(pinned, |_| Ok(false))?;
        self.0.retain(|group, _| groups.iter().any(|seen| seen.group == *group));
        let (mut changes, mut injector) = (Vec::new(), None);
        for seen in &groups {
            let known = self.0.entry(seen.group).or_default();
            changes.extend(known.judge(pinned, seen, &mut injector)?);
            known.probe(pinned, seen, &mut injector)?;
        }
        Ok(changes)
    }
}

impl Known {
    fn judge(
        &mut self,
        pinned: &mut Pinned,
        seen: &ObservedGroup,
        injector: &mut Option<Injector>,
    ) -> Result<Vec<Heard>, LoopbackError> {
        let Some(row) = tables::group(pinned, seen.group)? else { return Ok(Vec::new()) };
        let others = Place::all().filter(|place| self.lives[place.index()] != row.life[place.index()]);
        let others = others.fold(Places::default(), Places::with);
        self.hearing.forget(others);
        let probed = std::mem::take(&mut self.probed).and(others.inverse());
        let (members, heard) = (Places(row.members), tables::heard(pinned, seen.group)?);
        let silent = self.hearing.silent(members, row.silent.map(Places), probed, heard);
        let after = GroupRow { silent: silent.map(|places| places.0), ..row };
        if after == row {
            return Ok(Vec::new());
        }
        take_down(pinned, seen.group, &after, injector)?;
        Ok(changes(seen.group, &row, &after))
    }

    fn probe(
        &mut self,
        pinned: &mut Pinned,
        seen: &ObservedGroup,
        injector: &mut Option<Injector>,
    ) -> Result<(), LoopbackError> {
        let Some(row) = tables::group(pinned, seen.group)? else { return Ok(()) };
        let asked = tables::counters(pinned, seen.group, None)?.asked;
        let is_quiet = asked == self.asked && row.life == self.lives;
        (self.asked, self.lives) = (asked, row.life);
        let in_doubt = row.silent != [0; 2] || self.hearing.is_in_doubt();
        if seen.members.len() < 2 || (is_quiet && !in_doubt) {
            return Ok(());
        }
        tables::forget_heard(pinned, seen.group)?;
        for member in &seen.members {
            for family in Family::ALL {
                // One whose link has gone leaves at the next sweep; what fills a queue may be read soon.
                let _ = inject(injector, member.ifindex, &frame::probe(family));
            }
            self.probed = self.probed.with(member.place);
        }
        Ok(())
    }
}

fn inject(injector: &mut Option<Injector>, ifindex: u32, frame: &[u8]) -> std::io::Result<()> {
    if injector.is_none() {
        *injector = Some(Injector::open()?);
    }
    injector.as_ref().map_or(Ok(()), |injector| injector.send(ifindex, frame))
}

/// Makes the row the group's, and refuses the questions that only those could answer who are silent in it.
pub(super) fn take_down(
    pinned: &mut Pinned,
    group: GroupId,
    row: &GroupRow,
    injector: &mut Option<Injector>,
) -> Result<(), LoopbackError> {
    tables::set_group(pinned, group, *row)?;
    let (view, mut failure) = (convert::group(row), None);
    for (key, tuple, flow) in tables::flows(pinned, group)? {
        let Some(farewell) = overdue(&view, &tuple, &flow) else { continue };
        tables::remove_flow(pinned, group, &key)?;
        if let Err(error) = tell(injector, row, &farewell) {
            failure = failure.or(Some(error));
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Of those that are there.
fn changes(group: GroupId, before: &GroupRow, after: &GroupRow) -> Vec<Heard> {
    let (members, mut changes) = (Places(after.members), Vec::new());
    for family in Family::ALL {
        let [before, after] = [before, after].map(|row| Places(row.silent[family.index()]));
        for place in Places(before.0 ^ after.0).and(members).iter() {
            changes.push(Heard { group, place, family, silent: after.contains(place) });
        }
    }
    changes
}
