//! What the kernel has, against which the ledger is compared.

use super::{filters::id, pinned::Pinned, tables};
use crate::ebpf::{EbpfError, filters};
use nestless_model::identity::{LinkName, NicId};
use nestless_support::{clsact::Hook, hook::Other};
use std::collections::BTreeSet;

/// One link, or what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The link's index.
    pub ifindex: u32,
    /// Its name; `None` when there is no such link any more: [`super::Guard::forget`] it.
    pub link: Option<LinkName>,
    /// What holds for it.
    pub state: LinkState,
}

/// What holds for a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It has no program of ours: protect or close it before it becomes a bridge port.
    Unguarded,
    /// It may send nothing.
    Closed,
    /// It may send what its entry allows.
    Protected,
    /// It is closed or protected, but by programs that are incomplete or of another version.
    Outdated,
    /// A program of ours is there, guard or reflector, and others are asked before it: what it says may not be heard.
    Overtaken {
        /// All of them.
        by: Vec<Other>,
    },
    /// There is no such link.
    Gone,
}

pub(super) fn observe(pinned: &Pinned) -> Result<Vec<Observed>, EbpfError> {
    let links = filters::links()?;
    let known = tables::indexes(pinned)?;
    let nics = links
        .iter()
        .filter(|(_, name)| name.as_ref().and_then(|name| NicId::from_link_name(name.as_str())).is_some())
        .map(|(index, _)| *index);
    let indexes: BTreeSet<u32> = nics.chain(known).collect();
    indexes
        .into_iter()
        .map(|ifindex| {
            let link = links.get(&ifindex).cloned().flatten();
            let state = if link.is_some() { state(pinned, ifindex)? } else { LinkState::Gone };
            Ok(Observed { ifindex, link, state })
        })
        .collect()
}

fn state(pinned: &Pinned, ifindex: u32) -> Result<LinkState, EbpfError> {
    let (mut current, mut before) = (true, Vec::new());
    for hook in [Hook::Ingress, Hook::Egress] {
        let seen = filters::look(pinned.way, ifindex, hook)?;
        if hook == Hook::Ingress && seen.program_id.is_none() {
            return Ok(LinkState::Unguarded);
        }
        current &= seen.is(id(pinned, hook)?);
        before.extend(seen.before);
    }
    if !before.is_empty() {
        return Ok(LinkState::Overtaken { by: before });
    }
    if !current {
        return Ok(LinkState::Outdated);
    }
    let open = tables::entry(pinned, ifindex)?.is_some();
    Ok(if open { LinkState::Protected } else { LinkState::Closed })
}
