//! Programs as filters of links, in the network namespace of the calling thread.

use super::error::EbpfError;
use aya::programs::SchedClassifier;
use nestless_bpf::{guard, reflector};
use nestless_model::identity::LinkName;
use nestless_support::{
    clsact::Hook,
    hook::{self, Look, Way},
};
use std::{collections::BTreeMap, io};

/// Whichever of them is on a hook makes room for the next one.
const OURS: [&str; 3] = [guard::SENT, guard::RECEIVED, reflector::REFLECT];

/// The link's index; `purpose` is what it is wanted for, after "no link nl1".
pub(crate) fn index(link: &LinkName, purpose: &'static str) -> Result<u32, EbpfError> {
    nix::net::if_::if_nametoindex(link.as_str()).map_err(|error| EbpfError::NoLink {
        link: link.clone(),
        purpose,
        source: io::Error::from(error),
    })
}

/// All links by their index; `None` for a name that no link of ours could have.
pub(crate) fn links() -> Result<BTreeMap<u32, Option<LinkName>>, EbpfError> {
    let all =
        nix::net::if_::if_nameindex().map_err(|error| EbpfError::Links { source: io::Error::from(error) })?;
    let name = |link: &nix::net::if_::Interface| LinkName::new(link.name().to_str().ok()?).ok();
    Ok(all.iter().map(|link| (link.index(), name(link))).collect())
}

/// The kernel's id of a program.
pub(crate) fn program_id(object: &'static str, program: &SchedClassifier) -> Result<u32, EbpfError> {
    Ok(program.info().map_err(|source| EbpfError::load(object, source))?.id())
}

/// What this kernel has for them.
pub(crate) fn way(object: &'static str) -> Result<Way, EbpfError> {
    Way::of_kernel().map_err(|source| EbpfError::load(object, source))
}

/// What hangs on the link.
pub(crate) fn look(way: Way, ifindex: u32, hook: Hook) -> Result<Look, EbpfError> {
    hook::look(way, ifindex, hook, &OURS).map_err(|source| EbpfError::Filters { ifindex, source })
}

/// Puts a program on the link; in exchange for the one of ours that is there, if one is.
pub(crate) fn set(
    object: &'static str,
    way: Way,
    program: &mut SchedClassifier,
    link: &LinkName,
    hook: Hook,
) -> Result<(), EbpfError> {
    hook::set(way, program, link.as_str(), hook, &OURS).map_err(|source| EbpfError::Attach {
        object,
        link: link.clone(),
        source: Box::new(source),
    })
}

/// Takes ours off a hook of the link.
pub(crate) fn clear(way: Way, link: &LinkName, ifindex: u32, hook: Hook) -> Result<(), EbpfError> {
    hook::clear(way, link.as_str(), hook, &OURS).map_err(|source| EbpfError::Filters { ifindex, source })
}

/// Whether the program is on the link's hook and asked first.
///
/// # Errors
/// [`EbpfError::Overtaken`] when another's is asked before it.
pub(crate) fn is_in_force(
    object: &'static str,
    program_id: u32,
    seen: Look,
    link: &LinkName,
) -> Result<bool, EbpfError> {
    if seen.is(program_id) && !seen.before.is_empty() {
        return Err(EbpfError::Overtaken { object, link: link.clone(), by: seen.before });
    }
    Ok(seen.is_in_force(program_id))
}
