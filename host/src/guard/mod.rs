//! The guard: what the host end of a NIC lets out of its VM, and how fast.
//!
//! ```text
//!              close                protect
//!   unguarded ------> closed (spare) ------> protected (in use)
//!                        ^                       | close
//!                        +-----------------------+
//! ```
//!
//! The programs are the link's own: they stay when the daemon dies, and go with the link. Tables and programs are pinned. A
//! link without an entry in the tables is closed, and an entry is written or taken away before a program comes to a link; so an
//! entry left behind by a link that is gone means nothing to a later link that got the same index, and no order of steps, and
//! no crash between them, opens a link that should be closed.
//!
//! Calls block for a few system calls and act in the network namespace of the calling thread, which must be the same
//! for all calls of one instance.

mod entry;
mod error;
mod filters;
mod observe;
mod pinned;
mod tables;
#[cfg(test)]
pub(crate) mod tests;

pub use entry::RulesError;
pub use error::GuardError;
pub use nestless_bpf::guard::{Counters, Dropped};
pub use observe::{LinkState, Observed};

use crate::ebpf::{self, pins};
use filters::attach;
use nestless_model::{guard::GuardRules, identity::LinkName};
use nestless_support::{
    clsact::Hook,
    hook::{Other, Way},
};
use pinned::Pinned;
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What a link is wanted for.
const PURPOSE: &str = "to guard";

/// The guard of one daemon instance. All calls may be made at the same time, and repeated.
pub struct Guard {
    dir: PathBuf,
    pinned: Mutex<Pinned>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Guard {
    /// Loads the programs, or takes up what an earlier run pinned below `pin_dir`: entries and counters are kept.
    /// Links guarded by another version of the programs stay so until they are protected or closed again, when the
    /// filter is exchanged in one step.
    ///
    /// # Errors
    /// Without the right to load programs, and when `pin_dir` is on no eBPF file system and none can be mounted.
    pub fn open(pin_dir: &Path) -> Result<Self, GuardError> {
        Self::open_by(ebpf::filters::way(pinned::NAME)?, pin_dir)
    }

    fn open_by(way: Way, pin_dir: &Path) -> Result<Self, GuardError> {
        Ok(Self { dir: pin_dir.to_owned(), pinned: Mutex::new(pinned::open(pin_dir, way)?) })
    }

    /// Lets the link send what `rules` allow and nothing else. Counters start again when the link was closed before.
    ///
    /// # Errors
    /// When the rules cannot be kept (nothing is changed then), or the kernel refuses; the link is then as it was, or
    /// closed. [`ebpf::EbpfError::Overtaken`] when all is done, and another's program is asked first.
    pub fn protect(&self, link: &LinkName, rules: &GuardRules) -> Result<(), GuardError> {
        let ifindex = ebpf::filters::index(link, PURPOSE)?;
        // Before anything is changed.
        let new = entry::entry(rules, ifindex)
            .map_err(|source| GuardError::Rules { link: link.clone(), source })?;
        let mut pinned = self.pinned();
        let seen = ebpf::filters::look(pinned.way, ifindex, Hook::Ingress)?;
        let old = tables::entry(&pinned, ifindex)?;
        if seen.program_id.is_none() || old.is_none() {
            // What an earlier link of this index may have left, or what was counted while it was closed.
            tables::clear(&mut pinned, ifindex)?;
        }
        if seen.program_id.is_none() || old != Some(new) {
            tables::write(&mut pinned, ifindex, &new)?;
        }
        attach(&mut pinned, link, ifindex)
    }

    /// Lets the link send nothing: a spare. What it is allowed to receive is not limited.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn close(&self, link: &LinkName) -> Result<(), GuardError> {
        let ifindex = ebpf::filters::index(link, PURPOSE)?;
        let mut pinned = self.pinned();
        tables::clear(&mut pinned, ifindex)?;
        attach(&mut pinned, link, ifindex)
    }

    /// Forgets a link that is gone, or is about to go, by its index. A link that is still there is closed by it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn forget(&self, ifindex: u32) -> Result<(), GuardError> {
        Ok(tables::remove(&mut self.pinned(), ifindex)?)
    }

    /// Takes the rest of the guard off a link whose ingress another program has taken over.
    ///
    /// # Errors
    /// When there is no such link, or the kernel refuses.
    pub fn give_way(&self, link: &LinkName) -> Result<(), GuardError> {
        let ifindex = ebpf::filters::index(link, PURPOSE)?;
        let mut pinned = self.pinned();
        ebpf::filters::clear(pinned.way, link, ifindex, Hook::Egress)?;
        Ok(tables::remove(&mut pinned, ifindex)?)
    }

    /// What the link's filters counted since it was protected or closed; `None` when it is not known.
    ///
    /// # Errors
    /// When there is no such link, or the kernel refuses.
    pub fn counters(&self, link: &LinkName) -> Result<Option<Counters>, GuardError> {
        let ifindex = ebpf::filters::index(link, PURPOSE)?;
        Ok(tables::counters(&self.pinned(), ifindex)?)
    }

    /// Looks at every NIC's link of this namespace, and at every link that the tables know.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn observe(&self) -> Result<Vec<Observed>, GuardError> {
        Ok(observe::observe(&self.pinned())?)
    }

    /// Others' programs that are asked before the link's guard or reflector; none of a link that is gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn overtaken_by(&self, link: &LinkName) -> Result<Vec<Other>, GuardError> {
        let Ok(ifindex) = ebpf::filters::index(link, PURPOSE) else { return Ok(Vec::new()) };
        let pinned = self.pinned();
        let mut all = Vec::new();
        for hook in [Hook::Ingress, Hook::Egress] {
            all.extend(ebpf::filters::look(pinned.way, ifindex, hook)?.before);
        }
        Ok(all)
    }

    /// Removes the pins. Links that are still there stay as they are, guarded, until they go.
    ///
    /// # Errors
    /// When a pin cannot be removed.
    pub fn remove(self) -> Result<(), GuardError> {
        Ok(pins::remove(&self.dir)?)
    }

    fn pinned(&self) -> MutexGuard<'_, Pinned> {
        // Every state between two steps is a closed link or a whole one: a panic in between leaves nothing to fear.
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
