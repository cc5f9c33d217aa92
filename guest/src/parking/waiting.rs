//! The NICs that nobody has.

use super::past::{Past, Pasts};
use nestless_model::identity::Mac;
use std::collections::BTreeSet;

/// The NICs that nobody has, by their plug-time addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// As new: they can be had.
    pub free: BTreeSet<Mac>,
    /// Somebody has had them; they are being made anew.
    pub renewing: BTreeSet<Mac>,
    /// Somebody has had them, and they cannot be made anew: the host is to take them away.
    pub spent: BTreeSet<Mac>,
}

impl Waiting {
    /// Whether nobody has it, in whatever state it is.
    pub fn holds(&self, nic: Mac) -> bool {
        self.free.contains(&nic) || self.renewing.contains(&nic) || self.spent.contains(&nic)
    }

    /// `here` are those that have a link in the parking namespace.
    pub(super) fn of(here: &BTreeSet<Mac>, pasts: &Pasts) -> Self {
        let mut waiting = Self::default();
        for (nic, past) in pasts.all() {
            let set = match past {
                Past::New if here.contains(&nic) => &mut waiting.free,
                Past::Returned if here.contains(&nic) => &mut waiting.renewing,
                // Just now it may have no link anywhere.
                Past::Renewing(_) | Past::Unbound => &mut waiting.renewing,
                Past::Spent | Past::Lost => &mut waiting.spent,
                Past::New | Past::Returned | Past::Out => continue,
            };
            set.insert(nic);
        }
        waiting
    }
}
