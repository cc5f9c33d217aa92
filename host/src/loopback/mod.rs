//! Loopback groups: the host ends of a split pod's fractions, and the reflector that passes frames between them.
//!
//! Tables and program are pinned and the filters are the links' own, so that frames flow while no daemon runs. A
//! group is what its rows in the tables say; there is no other memory of it. The rules are those of
//! [`nestless_model::loopback`].
//!
//! Calls block for a few system calls and act in the network namespace of the calling thread, which must be the same
//! for all calls of one instance.

mod arrival;
mod convert;
mod departure;
mod error;
mod frame;
mod hearing;
mod inject;
mod inner;
mod pinned;
mod tables;
#[cfg(test)]
mod tests;

pub use error::LoopbackError;
pub use hearing::Heard;
pub use nestless_bpf::reflector::Counters;
pub use nestless_model::loopback::GroupId;
pub use tables::{ObservedGroup, ObservedMember};

use crate::ebpf::{EbpfError, filters, pins};
use departure::{depart, vacate};
use hearing::Listening;
use nestless_model::{
    identity::LinkName,
    loopback::{Flow, MAX_FRACTIONS, Place, Tuple},
};
use nestless_support::{clsact::Hook, crash_point, hook::Way};
use pinned::{NAME, Pinned};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tables::Seat;

const _: () = assert!(MAX_FRACTIONS == size_of::<[u8; 16]>(), "the tables have as many places as the model");

/// The reflector of one daemon instance. All calls may be made at the same time, and repeated.
pub struct Loopback {
    dir: PathBuf,
    pinned: Mutex<Pinned>,
    listening: Mutex<Listening>,
}

impl std::fmt::Debug for Loopback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loopback").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Loopback {
    /// Loads the reflector, or takes up what an earlier run pinned below `pin_dir`, which must be on an eBPF file
    /// system: groups, flows and counters are kept.
    ///
    /// # Errors
    /// Without the right to load programs, or when a pin cannot be made.
    pub fn open(pin_dir: &Path) -> Result<Self, LoopbackError> {
        Self::open_by(filters::way(NAME)?, pin_dir)
    }

    fn open_by(way: Way, pin_dir: &Path) -> Result<Self, LoopbackError> {
        let mut pinned = pinned::open(pin_dir, way)?;
        tables::count_strangers(&mut pinned)?;
        Ok(Self { dir: pin_dir.to_owned(), pinned: Mutex::new(pinned), listening: Mutex::default() })
    }

    /// Takes a NIC's host end into a group, which is made with its first endpoint, at the place that was chosen for it.
    /// Whoever has that place, and wherever the link is otherwise, leaves: the caller knows better than the tables. A
    /// guard's filter on the link is exchanged for the reflector in one step.
    ///
    /// # Errors
    /// [`LoopbackError::NoRoom`], and [`EbpfError::NoLink`], before anything is changed; others when the kernel
    /// refuses: calling again goes on from there.
    pub fn join(&self, group: GroupId, place: Place, link: &LinkName) -> Result<(), LoopbackError> {
        let ifindex = index(link)?;
        let mut pinned = self.pinned();
        match tables::seat(&pinned, ifindex)? {
            Some(seat) if seat == (Seat { group, place, leaving: false }) => {
                return attach(&mut pinned, link, ifindex);
            }
            Some(Seat { group, place, .. }) => drop(depart(&mut pinned, group, place)?),
            None => {}
        }
        arrival::enter(&mut pinned, group, place, ifindex)?;
        attach(&mut pinned, link, ifindex)?;
        crash_point::reached("loopback.join.after");
        Ok(())
    }

    /// Gives groups that the tables know nothing of all their members at once: after an upgrade that changed the tables'
    /// layout, or when the pins are lost. Whose link is gone is left out. Nothing is judged by it before [`Loopback::join`]
    /// has given each link this version's filter.
    ///
    /// Joined one after the other, the first members would be asked for all, and refuse connections that the others have.
    ///
    /// # Errors
    /// When the kernel refuses; calling again goes on from there.
    pub fn restore(
        &self,
        members: impl IntoIterator<Item = (GroupId, Place, LinkName)>,
    ) -> Result<(), LoopbackError> {
        let mut groups = BTreeMap::<GroupId, Vec<(Place, u32)>>::new();
        for (group, place, link) in members {
            let present = index(&link).ok().map(|ifindex| (place, ifindex));
            groups.entry(group).or_default().extend(present);
        }
        let mut pinned = self.pinned();
        groups.into_iter().try_for_each(|(group, members)| arrival::restore(&mut pinned, group, &members))
    }

    /// Takes an endpoint out of its group, whether its link is still there or not, and tells those who stay: its
    /// connections are reset, and the questions that waited for it alone are refused. Returns how many were told.
    /// Succeeds when the place is free.
    ///
    /// # Errors
    /// When the kernel refuses; the endpoint is out, and calling again tells those that were not told.
    pub fn leave(&self, group: GroupId, leaver: Place) -> Result<usize, LoopbackError> {
        depart(&mut self.pinned(), group, leaver)
    }

    /// Takes a link out of whatever group it is in, and forgets a group that nobody is left in. Succeeds when it is in none,
    /// or gone: then [`Loopback::sweep`] finds it.
    ///
    /// # Errors
    /// As [`Loopback::leave`].
    pub fn leave_all(&self, link: &LinkName) -> Result<(), LoopbackError> {
        let Ok(ifindex) = index(link) else { return Ok(()) };
        vacate(&mut self.pinned(), ifindex).map(drop)
    }

    /// Takes out every endpoint whose link is gone, finishes what a daemon that died had begun, and forgets groups that
    /// nobody is left in. Returns who left.
    ///
    /// # Errors
    /// As [`Loopback::leave`].
    pub fn sweep(&self) -> Result<Vec<(GroupId, Place)>, LoopbackError> {
        let mut pinned = self.pinned();
        let (links, mut left) = (filters::links()?, Vec::new());
        for ifindex in tables::endpoints(&pinned)? {
            let stays = tables::seat(&pinned, ifindex)?.is_some_and(|seat| !seat.leaving);
            if !stays || !links.contains_key(&ifindex) {
                left.extend(vacate(&mut pinned, ifindex)?);
            }
        }
        for observed in tables::observe(&pinned, |_| Ok(false))? {
            tables::dissolve_empty(&mut pinned, observed.group)?;
        }
        Ok(left)
    }

    /// Hears who has answered since the last pass, refuses what only silent endpoints could still answer, and probes again.
    /// Returns who fell silent, and who is back. To be called once a second: an endpoint that has answered before is silent after three.
    ///
    /// # Errors
    /// When the kernel refuses; the next pass goes on from there.
    pub fn listen(&self) -> Result<Vec<Heard>, LoopbackError> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).pass(&mut self.pinned())
    }

    /// Lets all endpoints go without a word, and forgets the group. Succeeds when there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn dissolve(&self, group: GroupId) -> Result<(), LoopbackError> {
        tables::dissolve(&mut self.pinned(), group)
    }

    /// Every group with its members, as the tables have it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn observe(&self) -> Result<Vec<ObservedGroup>, LoopbackError> {
        let pinned = self.pinned();
        let wanted = program_id(&pinned)?;
        let attached = |ifindex| Ok(filters::look(pinned.way, ifindex, Hook::Ingress)?.is_in_force(wanted));
        tables::observe(&pinned, attached)
    }

    /// A group's flows and open questions.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn flows(&self, group: GroupId) -> Result<Vec<(Tuple, Flow)>, LoopbackError> {
        let rows = tables::flows(&self.pinned(), group)?;
        Ok(rows.into_iter().map(|(_, tuple, flow)| (tuple, flow)).collect())
    }

    /// What the endpoint at a place has sent, by how it was judged, since it joined; with `None`, the whole group's, those
    /// that left included.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn counters(&self, group: GroupId, place: Option<Place>) -> Result<Counters, LoopbackError> {
        tables::counters(&self.pinned(), group, place)
    }

    /// Frames dropped because their link is in no group.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn strangers(&self) -> Result<Counters, LoopbackError> {
        tables::strangers(&self.pinned())
    }

    /// Removes the pins. Links that are still there keep their filters, and their groups, until they go.
    ///
    /// # Errors
    /// When a pin cannot be removed.
    pub fn remove(self) -> Result<(), LoopbackError> {
        Ok(pins::remove(&self.dir)?)
    }

    fn pinned(&self) -> MutexGuard<'_, Pinned> {
        // The tables are whole between any two steps.
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attach(pinned: &mut Pinned, link: &LinkName, ifindex: u32) -> Result<(), LoopbackError> {
    let wanted = program_id(pinned)?;
    if !filters::look(pinned.way, ifindex, Hook::Ingress)?.is(wanted) {
        crash_point::reached("loopback.attach.before");
        filters::set(NAME, pinned.way, &mut pinned.reflect, link, Hook::Ingress)?;
        crash_point::reached("loopback.attach.after");
    }
    filters::is_in_force(NAME, wanted, filters::look(pinned.way, ifindex, Hook::Ingress)?, link)?;
    Ok(())
}

fn program_id(pinned: &Pinned) -> Result<u32, EbpfError> {
    filters::program_id(NAME, &pinned.reflect)
}

fn index(link: &LinkName) -> Result<u32, EbpfError> {
    filters::index(link, "to join to a loopback group")
}
