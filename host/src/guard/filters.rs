//! The guard's two programs on a link.

use super::{
    error::GuardError,
    pinned::{NAME, Pinned},
};
use crate::ebpf::{EbpfError, filters};
use nestless_model::identity::LinkName;
use nestless_support::{clsact::Hook, crash_point};

/// Puts both on the link, where they are not there already.
///
/// # Errors
/// [`EbpfError::Overtaken`] when they are there, and another's program is asked before them.
pub(super) fn attach(pinned: &mut Pinned, link: &LinkName, ifindex: u32) -> Result<(), GuardError> {
    let mut overtaken = None;
    for hook in [Hook::Egress, Hook::Ingress] {
        let wanted = id(pinned, hook)?;
        if !filters::look(pinned.way, ifindex, hook)?.is(wanted) {
            put(pinned, link, hook)?;
        }
        match filters::is_in_force(NAME, wanted, filters::look(pinned.way, ifindex, hook)?, link) {
            // The name may have passed to another link in the meantime.
            Ok(false) => return Err(GuardError::NotAttached { link: link.clone() }),
            Ok(true) => {}
            // Both shall be there when that is gone.
            Err(error @ EbpfError::Overtaken { .. }) => overtaken = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    overtaken.map_or(Ok(()), |error| Err(error.into()))
}

fn put(pinned: &mut Pinned, link: &LinkName, hook: Hook) -> Result<(), EbpfError> {
    let program = match hook {
        Hook::Ingress => &mut pinned.sent,
        Hook::Egress => &mut pinned.received,
    };
    crash_point::reached("guard.attach.before");
    filters::set(NAME, pinned.way, program, link, hook)?;
    crash_point::reached("guard.attach.after");
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
