//! What the kernel has, against which the ledger is compared.

use super::{filters::id, pinned::Pinned, tables};
use crate::ebpf::{EbpfError, filters};
use nestless_model::identity::{LinkName, NicId};
use nestless_support::clsact::Hook;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It has no filter: protect or close it before it becomes a bridge port.
    Unguarded,
    /// It may send nothing.
    Closed,
    /// It may send what its entry allows.
    Protected,
    /// It is closed or protected, but by filters that are incomplete or of another version.
    Outdated,
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
    let Some(sent) = filters::get(ifindex, Hook::Ingress)? else { return Ok(LinkState::Unguarded) };
    let received = filters::get(ifindex, Hook::Egress)?;
    let is_current = sent.program_id == id(pinned, Hook::Ingress)?
        && received.map(|r| r.program_id) == Some(id(pinned, Hook::Egress)?)
        && received.map(|r| r.generation) == Some(sent.generation);
    if !is_current {
        return Ok(LinkState::Outdated);
    }
    let obeyed = tables::entry(pinned, ifindex)?.is_some_and(|entry| entry.generation == sent.generation);
    Ok(if obeyed { LinkState::Protected } else { LinkState::Closed })
}
