//! Our programs at a link's hooks. They belong to the link: they outlive the daemon and die with the link.
//!
//! ```text
//! Linux 6.6 and later   TCX     ours is put first of all; what another program decides later cannot keep ours from being asked
//! before                clsact  ours has the first priority
//! ```
//! In both ways another program can be put before ours afterwards, by who has the right to. It shows in [`Look::before`].

mod tcx;

pub use crate::clsact::{Look, Other};

use crate::clsact::{self, Hook};
use aya::programs::{ProgramError, SchedClassifier, tc::TcError};
use std::io;

/// How programs come to hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Linux 6.6 and later.
    Tcx,
    /// Filters of a clsact qdisc.
    Clsact,
}

impl Way {
    /// The better one that this kernel has.
    ///
    /// # Errors
    /// Without the right to ask.
    pub fn of_kernel() -> Result<Self, ProgramError> {
        Ok(if tcx::is_known()? { Self::Tcx } else { Self::Clsact })
    }
}

/// Puts `program` on a hook before all others; a program of ours that is there already (one called as in `ours`) is exchanged
/// in one step, and stays where it is among others. One that hangs there by the way of older kernels goes when the new one is
/// there. Acts in the calling thread's network namespace.
///
/// # Errors
/// When there is no such link, or the kernel refuses.
pub fn set(
    way: Way,
    program: &mut SchedClassifier,
    link: &str,
    hook: Hook,
    ours: &[&str],
) -> Result<(), ProgramError> {
    let ifindex = nix::net::if_::if_nametoindex(link).map_err(|error| TcError::IoError(error.into()))?;
    let former = clsact::get(ifindex, hook).map_err(TcError::IoError)?;
    if way == Way::Clsact {
        return clsact::set(program, link, hook, former.is_some());
    }
    let own = program.info()?.id();
    match tcx::list(link, hook)?.iter().find(|seat| is_ours(&seat.name, ours)) {
        Some(seat) if seat.id == own => {}
        Some(seat) => tcx::exchange(program, seat, ifindex, hook)?,
        None => tcx::put_first(program, ifindex, hook)?,
    }
    if former.is_some() {
        clsact::clear(link, hook).map_err(TcError::IoError)?;
    }
    Ok(())
}

/// What hangs on a hook. A link that does not exist has nothing.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn look(way: Way, ifindex: u32, hook: Hook, ours: &[&str]) -> io::Result<Look> {
    let filters = clsact::look(ifindex, hook)?;
    if way == Way::Clsact {
        return Ok(filters);
    }
    let Ok(link) = nix::net::if_::if_indextoname(ifindex) else { return Ok(Look::default()) };
    let seats = tcx::list(&link.to_string_lossy(), hook).map_err(io::Error::other)?;
    let former = filters.program_id.is_some();
    let Some(at) = seats.iter().position(|seat| is_ours(&seat.name, ours)) else {
        return Ok(Look { before: Vec::new(), former, ..filters });
    };
    let before = seats[..at].iter().map(other).collect();
    Ok(Look { program_id: Some(seats[at].id), before, former })
}

/// What hangs on a hook about a program of ours that comes there by clsact whatever the kernel has, because its filter has an
/// action ([`clsact::hand_over`]): every TCX program is asked before it. A link that does not exist has nothing.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn look_at_filter(way: Way, ifindex: u32, hook: Hook) -> io::Result<Look> {
    let mut filters = clsact::look(ifindex, hook)?;
    if way == Way::Tcx
        && let Ok(link) = nix::net::if_::if_indextoname(ifindex)
    {
        let seats = tcx::list(&link.to_string_lossy(), hook).map_err(io::Error::other)?;
        filters.before.splice(0..0, seats.iter().map(other));
    }
    Ok(filters)
}

/// Takes ours off a hook, by whichever way it got there; succeeds when there is none.
///
/// # Errors
/// When there is no such link, or the kernel refuses.
pub fn clear(way: Way, link: &str, hook: Hook, ours: &[&str]) -> io::Result<()> {
    let ifindex = nix::net::if_::if_nametoindex(link)?;
    if way == Way::Tcx {
        for seat in tcx::list(link, hook).map_err(io::Error::other)? {
            if is_ours(&seat.name, ours) {
                tcx::take_off(&seat, ifindex, hook).map_err(io::Error::other)?;
            }
        }
    }
    clsact::clear(link, hook)
}

fn other(seat: &tcx::Seat) -> Other {
    Other { name: seat.name.clone(), program_id: Some(seat.id) }
}

/// The kernel keeps fifteen bytes of a name (`BPF_OBJ_NAME_LEN` of linux/bpf.h, with its end).
fn is_ours(name: &str, ours: &[&str]) -> bool {
    ours.iter().any(|own| &own[..own.len().min(15)] == name)
}
