//! The guard's two filters on a link.

use super::{
    error::GuardError,
    pinned::{NAME, Pinned},
};
use crate::ebpf::{EbpfError, filters};
use nestless_model::identity::LinkName;
use nestless_support::{
    clsact::{Filter, Hook},
    crash_point,
};

/// Puts both on the link, where they are not of this version and generation already.
pub(super) fn attach(
    pinned: &mut Pinned,
    link: &LinkName,
    ifindex: u32,
    generation: u32,
) -> Result<(), GuardError> {
    for hook in [Hook::Egress, Hook::Ingress] {
        let wanted = Filter { program_id: id(pinned, hook)?, generation };
        let there = filters::get(ifindex, hook)?;
        if there == Some(wanted) {
            continue;
        }
        let program = match hook {
            Hook::Ingress => &mut pinned.sent,
            Hook::Egress => &mut pinned.received,
        };
        crash_point::reached("guard.attach.before");
        filters::set(NAME, program, link, hook, generation, there)?;
        crash_point::reached("guard.attach.after");
        // The name may have passed to another link in the meantime.
        if filters::get(ifindex, hook)? != Some(wanted) {
            return Err(GuardError::NotAttached { link: link.clone() });
        }
    }
    Ok(())
}

/// The kernel's id of the program for a hook.
pub(super) fn id(pinned: &Pinned, hook: Hook) -> Result<u32, EbpfError> {
    let program = match hook {
        Hook::Ingress => &pinned.sent,
        Hook::Egress => &pinned.received,
    };
    filters::program_id(NAME, program)
}
