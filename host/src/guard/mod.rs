//! The guard: what the host end of a NIC lets out of its VM, and how fast.
//!
//! ```text
//!              close                protect
//!   unguarded ------> closed (spare) ------> protected (in use)
//!                        ^                       | close
//!                        +-----------------------+
//! ```
//!
//! The filters are the link's own: they stay when the daemon dies, and go with the link. Tables and programs are
//! pinned. A filter's class id is a number that was never given out before, the *generation*, and it obeys only an
//! entry with that number; so an entry left behind by a link that is gone means nothing to a later link that got
//! the same index, and no order of steps, and no crash between them, opens a link that should be closed.
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

use crate::ebpf::{self, EbpfError, pins};
use filters::{attach, id};
use nestless_model::{guard::GuardRules, identity::LinkName};
use nestless_support::clsact::{self, Hook};
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
        Ok(Self { dir: pin_dir.to_owned(), pinned: Mutex::new(pinned::open(pin_dir)?) })
    }

    /// Lets the link send what `rules` allow and nothing else. Counters start again when the link was closed before.
    ///
    /// # Errors
    /// When the rules cannot be kept (nothing is changed then), or the kernel refuses; the link is then as it was, or
    /// closed.
    pub fn protect(&self, link: &LinkName, rules: &GuardRules) -> Result<(), GuardError> {
        let rules_error = |source| GuardError::Rules { link: link.clone(), source };
        entry::entry(rules, 0).map_err(rules_error)?;
        let ifindex = ebpf::filters::index(link, PURPOSE)?;
        let mut pinned = self.pinned();
        let filter = ebpf::filters::get(ifindex, Hook::Ingress)?;
        let old = tables::entry(&pinned, ifindex)?;
        let generation = match (filter, old) {
            (Some(filter), Some(old)) if old.generation == filter.generation => filter.generation,
            (filter, _) => {
                tables::clear(&mut pinned, ifindex)?;
                match filter {
                    Some(filter) if filter.program_id == id(&pinned, Hook::Ingress)? => filter.generation,
                    _ => tables::next_generation(&mut pinned)?,
                }
            }
        };
        // Without effect until the filter has the same number.
        let new = entry::entry(rules, generation).map_err(rules_error)?;
        if old != Some(new) {
            tables::write(&mut pinned, ifindex, &new)?;
        }
        attach(&mut pinned, link, ifindex, generation)
    }

    /// Lets the link send nothing: a spare. What it is allowed to receive is not limited.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn close(&self, link: &LinkName) -> Result<(), GuardError> {
        let ifindex = ebpf::filters::index(link, PURPOSE)?;
        let mut pinned = self.pinned();
        tables::clear(&mut pinned, ifindex)?;
        let current = id(&pinned, Hook::Ingress)?;
        let generation = match ebpf::filters::get(ifindex, Hook::Ingress)? {
            Some(filter) if filter.program_id == current => filter.generation,
            _ => tables::next_generation(&mut pinned)?,
        };
        attach(&mut pinned, link, ifindex, generation)
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
        clsact::clear(link.as_str(), Hook::Egress)
            .map_err(|source| EbpfError::Filters { ifindex, source })?;
        Ok(tables::remove(&mut self.pinned(), ifindex)?)
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
