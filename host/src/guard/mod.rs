//! The guard: what the host's end of a NIC lets out of its VM, and how fast.
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
mod observe;
mod pinned;
mod tables;
#[cfg(test)]
pub(crate) mod tests;

pub use entry::RulesError;
pub use error::GuardError;
pub use nestless_bpf::guard::{Counters, Dropped};
pub use observe::{LinkState, Observed};

use crate::pins::{self, PinError};
use nestless_bpf::guard::Entry;
use nestless_model::{guard::GuardRules, identity::LinkName};
use nestless_support::{
    clsact::{self, Filter, Hook},
    crash_point,
};
use pinned::Pinned;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

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
        let ifindex = index(link)?;
        let mut pinned = self.pinned();
        let filter = filter(ifindex, Hook::Ingress)?;
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
        let ifindex = index(link)?;
        let mut pinned = self.pinned();
        tables::clear(&mut pinned, ifindex)?;
        let current = id(&pinned, Hook::Ingress)?;
        let generation = match filter(ifindex, Hook::Ingress)? {
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
        tables::remove(&mut self.pinned(), ifindex)
    }

    /// Takes the rest of the guard off a link whose ingress another program has taken over.
    ///
    /// # Errors
    /// When there is no such link, or the kernel refuses.
    pub fn give_way(&self, link: &LinkName) -> Result<(), GuardError> {
        let ifindex = index(link)?;
        clsact::clear(link.as_str(), Hook::Egress)
            .map_err(|source| GuardError::Filters { ifindex, source })?;
        tables::remove(&mut self.pinned(), ifindex)
    }

    /// What the link's filters counted since it was protected or closed; `None` when it is not known.
    ///
    /// # Errors
    /// When there is no such link, or the kernel refuses.
    pub fn counters(&self, link: &LinkName) -> Result<Option<Counters>, GuardError> {
        let ifindex = index(link)?;
        tables::counters(&self.pinned(), ifindex)
    }

    /// Looks at every NIC's link of this namespace, and at every link that the tables know.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn observe(&self) -> Result<Vec<Observed>, GuardError> {
        observe::observe(&self.pinned())
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

/// Puts both filters on the link, where they are not of this version and generation already.
fn attach(pinned: &mut Pinned, link: &LinkName, ifindex: u32, generation: u32) -> Result<(), GuardError> {
    for hook in [Hook::Egress, Hook::Ingress] {
        let wanted = Filter { program_id: id(pinned, hook)?, generation };
        let there = filter(ifindex, hook)?;
        if there == Some(wanted) {
            continue;
        }
        let program = match hook {
            Hook::Ingress => &mut pinned.sent,
            Hook::Egress => &mut pinned.received,
        };
        crash_point::reached("guard.attach.before");
        clsact::set(program, link.as_str(), hook, generation, there.is_some())
            .map_err(|source| GuardError::Attach { link: link.clone(), source: Box::new(source) })?;
        crash_point::reached("guard.attach.after");
        // The name may have passed to another link in the meantime.
        if filter(ifindex, hook)? != Some(wanted) {
            return Err(GuardError::NotAttached { link: link.clone() });
        }
    }
    Ok(())
}

/// The kernel's id of the program for a hook.
fn id(pinned: &Pinned, hook: Hook) -> Result<u32, GuardError> {
    let program = match hook {
        Hook::Ingress => &pinned.sent,
        Hook::Egress => &pinned.received,
    };
    Ok(program.info().map_err(|source| PinError::load(pinned::NAME, source))?.id())
}

fn filter(ifindex: u32, hook: Hook) -> Result<Option<Filter>, GuardError> {
    clsact::get(ifindex, hook).map_err(|source| GuardError::Filters { ifindex, source })
}

fn index(link: &LinkName) -> Result<u32, GuardError> {
    nix::net::if_::if_nametoindex(link.as_str())
        .map_err(|e| GuardError::NoLink { link: link.clone(), source: io::Error::from(e) })
}

/// Whether the entry is obeyed by the filter on that link.
fn is_obeyed(entry: &Entry, filter: Option<Filter>) -> bool {
    filter.is_some_and(|filter| filter.generation == entry.generation)
}
