//! Filters at a link's clsact hooks. They belong to the link: they outlive the daemon and die with the link. Which way our
//! programs come to a hook is [`crate::hook`]'s to say.

mod divert;
mod handover;
mod look;
pub(crate) mod request;

pub use divert::{divert, end_diversion, is_diverted};
pub use handover::hand_over;
pub use look::{Look, Other};

use aya::programs::{
    Link as _, ProgramError, SchedClassifier, TcAttachType, TcHandle,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, qdisc_add_clsact},
};
use netlink_packet_core::{Emitable as _, NLM_F_ACK, NLM_F_DUMP};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{
        TcAction, TcActionAttribute, TcActionMirror, TcActionMirrorOption, TcActionOption, TcActionType,
        TcAttribute, TcFilterBpfOption, TcHandle as Handle, TcMessage, TcMirror, TcMirrorActionType,
        TcOption,
    },
};
use request::ask;
use std::io;

/// Before every other filter.
const PRIORITY: u16 = 1;
/// "NL", so that a filter of another program at the same priority is not taken for ours.
const HANDLE: TcHandle = TcHandle::new(0, 0x4e4c);
/// No program of ours asks for it.
const CLASS: TcHandle = TcHandle::new(0, 1);
/// `ETH_P_ALL` (linux/if_ether.h).
const ALL_PROTOCOLS: u16 = 3;

/// Which of the two hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// What comes in by the link: on a NIC's host end, what the VM sends.
    Ingress,
    /// What goes out by it.
    Egress,
}

impl Hook {
    /// `TC_H_CLSACT` with the hook's minor number (linux/pkt_sched.h).
    fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }

    pub(crate) fn attach_type(self) -> TcAttachType {
        match self {
            Self::Ingress => TcAttachType::Ingress,
            Self::Egress => TcAttachType::Egress,
        }
    }
}

/// Puts `program` on a hook; a filter of ours that is there already is exchanged in one step. Acts in the calling
/// thread's network namespace.
///
/// # Errors
/// When there is no such link, or the kernel refuses.
pub fn set(program: &mut SchedClassifier, link: &str, hook: Hook, exists: bool) -> Result<(), ProgramError> {
    let classid = Some(CLASS);
    let id = if exists {
        let old = SchedClassifierLink::attached(link, hook.attach_type(), PRIORITY, HANDLE, classid)
            .map_err(TcError::IoError)?;
        program.attach_to_link(old)?
    } else {
        ensure_hooks(link)?;
        let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid };
        program.attach_with_options(link, hook.attach_type(), TcAttachOptions::Netlink(options))?
    };
    // Dropped, it would take the filter away.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

fn ensure_hooks(link: &str) -> Result<(), TcError> {
    match qdisc_add_clsact(link) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

/// The kernel's number of the program of our filter on a hook, if there is one. A link that does not exist has none.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn get(ifindex: u32, hook: Hook) -> io::Result<Option<u32>> {
    Ok(look(ifindex, hook)?.program_id)
}

/// The same with what is asked before it: filters of the same priority that were put there later.
pub(crate) fn look(ifindex: u32, hook: Hook) -> io::Result<Look> {
    let filters = filters(ifindex, hook)?;
    let Some(at) = filters.iter().position(is_ours) else { return Ok(Look::default()) };
    let before =
        filters[..at].iter().filter(|filter| u32::from(filter.header.handle) != 0).map(other).collect();
    Ok(Look { program_id: program(&filters[at]), before, former: false })
}

/// Whether a link has these hooks: somebody made its clsact qdisc. Acts in the calling thread's network namespace.
///
/// # Errors
/// When there is no such link, or the kernel cannot be asked.
pub fn exists(link: &str) -> io::Result<bool> {
    let index = signed(nix::net::if_::if_nametoindex(link)?)?;
    // The kernel tells of all links.
    let all = ask(RouteNetlinkMessage::GetQueueDiscipline(TcMessage::with_index(index)), NLM_F_DUMP)?;
    let clsact = TcAttribute::Kind("clsact".to_owned());
    Ok(all.iter().any(|qdisc| qdisc.header.index == index && qdisc.attributes.contains(&clsact)))
}

/// Takes the hooks off a link on which no filter hangs, of ours or of another's; else nothing is done. A filter that another
/// program sets in this very moment may go with them.
///
/// # Errors
/// When there is no such link, or the kernel refuses.
pub fn remove_unused(link: &str) -> io::Result<()> {
    let ifindex = nix::net::if_::if_nametoindex(link)?;
    for hook in [Hook::Ingress, Hook::Egress] {
        if !filters(ifindex, hook)?.is_empty() {
            return Ok(());
        }
    }
    if exists(link)? {
        let mut request = TcMessage::with_index(signed(ifindex)?);
        request.header.parent = Handle::CLSACT;
        ask(RouteNetlinkMessage::DelQueueDiscipline(request), NLM_F_ACK)?;
    }
    Ok(())
}

/// Takes our filter off a hook; succeeds when there is none.
///
/// # Errors
/// When the kernel refuses.
pub fn clear(link: &str, hook: Hook) -> io::Result<()> {
    let ifindex = nix::net::if_::if_nametoindex(link)?;
    if get(ifindex, hook)?.is_some() {
        SchedClassifierLink::attached(link, hook.attach_type(), PRIORITY, HANDLE, None)?
            .detach()
            .map_err(io::Error::other)?;
    }
    Ok(())
}

/// All filters on a hook, whoever's.
fn filters(ifindex: u32, hook: Hook) -> io::Result<Vec<TcMessage>> {
    let mut request = TcMessage::with_index(signed(ifindex)?);
    request.header.parent = hook.parent().into();
    ask(RouteNetlinkMessage::GetTrafficFilter(request), NLM_F_DUMP)
}

/// The one action that takes a packet to another link, as it stands in a message.
fn mirror(ifindex: u32, how: TcMirrorActionType) -> Vec<u8> {
    let mut mirror = TcMirror::default();
    mirror.generic.action = TcActionType::Stolen;
    mirror.eaction = how;
    mirror.ifindex = ifindex;
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror))]),
    ];
    let actions = [action];
    let mut bytes = vec![0; actions.as_slice().buffer_len()];
    actions.as_slice().emit(&mut bytes);
    bytes
}

pub(crate) fn signed(ifindex: u32) -> io::Result<i32> {
    i32::try_from(ifindex).map_err(io::Error::other)
}

fn is_ours(filter: &TcMessage) -> bool {
    let handle = u32::from(filter.header.handle);
    filter.header.info >> 16 == u32::from(PRIORITY)
        && handle == u32::from(HANDLE)
        && program(filter).is_some()
}

/// `None`: it is no eBPF program.
fn program(filter: &TcMessage) -> Option<u32> {
    options(filter).find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
        _ => None,
    })
}

fn other(filter: &TcMessage) -> Other {
    let named = options(filter).find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => Some(name.clone()),
        _ => None,
    });
    let kind = filter.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.clone()),
        _ => None,
    });
    Other { name: named.or(kind).unwrap_or_default(), program_id: program(filter) }
}

fn options(filter: &TcMessage) -> impl Iterator<Item = &TcOption> {
    let options = filter.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options.as_slice()),
        _ => None,
    });
    options.unwrap_or_default().iter()
}
