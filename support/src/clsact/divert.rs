//! A filter behind all others, which sends what they let pass out by another link, whose queue may hold it back.

use super::{HANDLE, Hook, ensure_hooks, filters, request::ask, signed};
use aya::programs::tc::TcError;
use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpf, TcFilterBpfOption, TcMessage, TcMirrorActionType, TcOption},
};
use std::io;

/// Behind everything that an operator may have put there, and behind what the kernel numbers by itself.
const PRIORITY: u16 = 0xfff0;
/// `TCA_BPF_ACT`, `TCA_BPF_OPS_LEN` and `TCA_BPF_OPS` (linux/pkt_cls.h).
const ACTIONS: u16 = 1;
const INSTRUCTION_COUNT: u16 = 4;
const INSTRUCTIONS: u16 = 5;
/// One instruction of the old filter language (struct sock_filter): return -1, which matches every packet. Kernels have it
/// wherever they have the guard's own kind of filter, while not all have `matchall`.
const MATCH_ALL: [u8; 8] = [0x06, 0x00, 0, 0, 0xff, 0xff, 0xff, 0xff];

/// Has everything that comes in by `link`, and that no other filter has kept, leave by `to`. An earlier diversion is replaced in
/// one step. Acts in the calling thread's network namespace.
///
/// # Errors
/// When there is no such link, or the kernel refuses, as one without `act_mirred` does (ENOENT).
pub fn divert(link: &str, to: &str) -> io::Result<()> {
    ensure_hooks(link).map_err(|error| match error {
        TcError::IoError(error) => error,
        TcError::NetlinkError(error) => io::Error::other(error),
        other => io::Error::other(other),
    })?;
    let action = super::mirror(nix::net::if_::if_nametoindex(to)?, TcMirrorActionType::EgressRedir);
    let options = [
        TcFilterBpfOption::Other(DefaultNla::new(INSTRUCTION_COUNT, 1_u16.to_ne_bytes().to_vec())),
        TcFilterBpfOption::Other(DefaultNla::new(INSTRUCTIONS, MATCH_ALL.to_vec())),
        TcFilterBpfOption::Other(DefaultNla::new(ACTIONS, action)),
    ];
    let mut request = address(nix::net::if_::if_nametoindex(link)?)?;
    request.attributes = vec![
        TcAttribute::Kind(TcFilterBpf::KIND.to_owned()),
        TcAttribute::Options(options.into_iter().map(TcOption::Bpf).collect()),
    ];
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    ask(RouteNetlinkMessage::NewTrafficFilter(request), flags).map(drop)
}

/// Whether a link has a diversion of ours. A link that does not exist has none.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn is_diverted(ifindex: u32) -> io::Result<bool> {
    Ok(filters(ifindex, Hook::Ingress)?.iter().any(is_ours))
}

/// Ends a diversion; succeeds when there is none.
///
/// # Errors
/// When there is no such link, or the kernel refuses.
pub fn end_diversion(link: &str) -> io::Result<()> {
    let ifindex = nix::net::if_::if_nametoindex(link)?;
    if is_diverted(ifindex)? {
        ask(RouteNetlinkMessage::DelTrafficFilter(address(ifindex)?), NLM_F_ACK)?;
    }
    Ok(())
}

fn address(ifindex: u32) -> io::Result<TcMessage> {
    let mut message = TcMessage::with_index(signed(ifindex)?);
    message.header.parent = Hook::Ingress.parent().into();
    message.header.handle = u32::from(HANDLE).into();
    message.header.info = u32::from(PRIORITY) << 16 | u32::from(super::ALL_PROTOCOLS.to_be());
    Ok(message)
}

fn is_ours(filter: &TcMessage) -> bool {
    filter.header.info >> 16 == u32::from(PRIORITY) && u32::from(filter.header.handle) == u32::from(HANDLE)
}
