//! A filter that hands packets over: another link receives them, at once.

use super::{ALL_PROTOCOLS, HANDLE, Hook, PRIORITY, ensure_hooks, mirror, request::ask, signed};
use aya::programs::{ProgramError, SchedClassifier, tc::TcError};
use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpf, TcFilterBpfOption, TcMessage, TcMirrorActionType, TcOption},
};
use std::os::fd::{AsFd as _, AsRawFd as _};

/// `TCA_BPF_ACT` (linux/pkt_cls.h).
const ACTIONS: u16 = 1;

/// Puts `program` on the ingress of `link`, and has link `to` receive what it matches (returns -1 for). What it does not match
/// (0) goes on as if there were no filter. A filter of ours that is there already is exchanged in one step. Acts in the
/// calling thread's network namespace.
///
/// Unlike `bpf_redirect` into a link's ingress, the action `mirred` has the packet received in the softirq that brought it,
/// without another queue (net/sched/act_mirred.c, Linux 6.1 and later, from ingress to ingress).
///
/// # Errors
/// When there is no such link, or the kernel refuses, as one without `act_mirred` does (ENOENT).
pub fn hand_over(program: &SchedClassifier, link: &str, to: &str) -> Result<(), ProgramError> {
    ensure_hooks(link)?;
    let index = |name| nix::net::if_::if_nametoindex(name).map_err(|error| TcError::IoError(error.into()));
    let descriptor = program.fd()?.as_fd().as_raw_fd();
    let options = [
        TcFilterBpfOption::ProgFd(descriptor.unsigned_abs()),
        TcFilterBpfOption::ProgName(format!("to {to}")),
        TcFilterBpfOption::Other(DefaultNla::new(
            ACTIONS,
            mirror(index(to)?, TcMirrorActionType::IngressRedir),
        )),
    ];
    let mut request = TcMessage::with_index(signed(index(link)?).map_err(TcError::IoError)?);
    request.header.parent = Hook::Ingress.parent().into();
    request.header.handle = u32::from(HANDLE).into();
    request.header.info = u32::from(PRIORITY) << 16 | u32::from(ALL_PROTOCOLS.to_be());
    request.attributes = vec![
        TcAttribute::Kind(TcFilterBpf::KIND.to_owned()),
        TcAttribute::Options(options.into_iter().map(TcOption::Bpf).collect()),
    ];
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    ask(RouteNetlinkMessage::NewTrafficFilter(request), flags).map_err(TcError::IoError)?;
    Ok(())
}
