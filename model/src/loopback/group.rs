//! Who is in a group, and what the group remembers.

use super::{
    flow::{Flow, MAX_FRACTIONS, Place, Places},
    packet::{Family, FragmentId, Tuple},
};
use std::collections::BTreeMap;

/// No place is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the group has {MAX_FRACTIONS} fractions already, which is the most: let one leave first")]
pub struct GroupFull;

/// Where the fragments of a datagram go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) to: Places,
    pub(super) epoch: u8,
}

/// A loopback group. The table of rows is without limit here; [`Group::evict`] plays the limit.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub(super) members: Places,
    /// Counts joins; wraps.
    epoch: u8,
    /// The epoch that each place's endpoint came with.
    lives: [u8; MAX_FRACTIONS],
    /// Who does not answer, by family: they are asked nothing.
    silent: [Places; 2],
    /// Who has answered the last probe, by family.
    pub(super) heard: [Places; 2],
    pub(super) flows: BTreeMap<Tuple, Flow>,
    pub(super) courses: BTreeMap<(Place, FragmentId), Course>,
}

impl Group {
    /// Takes a new endpoint in.
    ///
    /// # Errors
    /// When no place is free.
    pub fn join(&mut self) -> Result<Place, GroupFull> {
        let place = Place::all().find(|place| !self.members.contains(*place)).ok_or(GroupFull)?;
        self.epoch = self.epoch.wrapping_add(1);
        self.lives[place.index()] = self.epoch;
        self.silent = self.silent.map(|silent| silent.without(place));
        self.members = self.members.with(place);
        Ok(place)
    }

    /// Forgets a row, as the in-kernel table may at any moment.
    pub fn evict(&mut self, tuple: &Tuple) {
        self.flows.remove(tuple);
    }

    /// Who is in it.
    pub fn members(&self) -> Places {
        self.members
    }

    /// The number of the last join.
    pub fn epoch(&self) -> u8 {
        self.epoch
    }

    /// Which of the endpoints that had this place is, or was, the last.
    pub fn life(&self, place: Place) -> u8 {
        self.lives[place.index()]
    }

    /// What it remembers, by the direction in which the asker sends.
    pub fn flows(&self) -> impl Iterator<Item = (&Tuple, &Flow)> {
        self.flows.iter()
    }

    /// A group as the kernel's tables show it, without rows.
    pub fn observed(members: Places, epoch: u8, lives: [u8; MAX_FRACTIONS], silent: [Places; 2]) -> Self {
        Self { members, epoch, lives, silent, ..Self::default() }
    }

    /// Members that were there at this epoch already.
    pub fn since(&self, epoch: u8) -> Places {
        let there = |place: &Place| epoch.wrapping_sub(self.life(*place)) < 128;
        self.members.iter().filter(there).fold(Places::default(), Places::with)
    }

    /// Members that were there at this epoch already, and answer.
    pub fn asked(&self, epoch: u8, family: Family) -> Places {
        self.since(epoch).and(self.silent(family).inverse())
    }

    /// Whom an endpoint can ask.
    pub(super) fn others(&self, place: Place, family: Family) -> Places {
        self.members.without(place).and(self.silent(family).inverse())
    }

    /// Who does not answer.
    pub fn silent(&self, family: Family) -> Places {
        self.silent[family.index()]
    }

    /// Takes down who does not answer.
    pub fn set_silent(&mut self, family: Family, silent: Places) {
        self.silent[family.index()] = silent;
    }

    /// Who has answered the last probe.
    pub fn heard(&self, family: Family) -> Places {
        self.heard[family.index()]
    }

    /// Whether the endpoint of that life is still there.
    pub(super) fn lives(&self, place: Place, life: u8) -> bool {
        self.members.contains(place) && self.life(place) == life
    }
}
