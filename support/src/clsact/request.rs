//! Asks the kernel about qdiscs and filters.

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{RouteNetlinkMessage, tc::TcMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;

/// Sends a request, and collects the answers up to the last.
pub(crate) fn ask(request: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<TcMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut message = NetlinkMessage::from(request);
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut found = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full()?;
        if read_answer(&answer, &mut found)? {
            return Ok(found);
        }
    }
}

/// Reads one datagram; true when it was the last.
fn read_answer(answer: &[u8], found: &mut Vec<TcMessage>) -> io::Result<bool> {
    let mut at = 0;
    while at < answer.len() {
        let message =
            NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer[at..]).map_err(io::Error::other)?;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            // An error without a number is an acknowledgement.
            NetlinkPayload::Error(error) if error.code.is_none() => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewTrafficFilter(answer)
                | RouteNetlinkMessage::NewQueueDiscipline(answer),
            ) => found.push(answer),
            _ => {}
        }
        // The kernel aligns messages to four bytes.
        at += (message.header.length as usize).max(1).next_multiple_of(4);
    }
    Ok(false)
}
