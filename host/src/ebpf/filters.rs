//! Programs as filters of links, in the network namespace of the calling thread.

use super::error::EbpfError;
use aya::programs::SchedClassifier;
use nestless_model::identity::LinkName;
use nestless_support::clsact::{self, Filter, Hook};
use std::{collections::BTreeMap, io};

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

/// The link's filter of ours.
pub(crate) fn get(ifindex: u32, hook: Hook) -> Result<Option<Filter>, EbpfError> {
    clsact::get(ifindex, hook).map_err(|source| EbpfError::Filters { ifindex, source })
}

/// Puts a program on the link; in exchange for the one that is there, if one is.
pub(crate) fn set(
    object: &'static str,
    program: &mut SchedClassifier,
    link: &LinkName,
    hook: Hook,
    class: u32,
    there: Option<Filter>,
) -> Result<(), EbpfError> {
    clsact::set(program, link.as_str(), hook, class, there.is_some()).map_err(|source| EbpfError::Attach {
        object,
        link: link.clone(),
        source: Box::new(source),
    })
}
