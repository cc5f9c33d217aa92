//! The reflector's rules: which endpoints of a loopback group get a packet that one of them sent.
//!
//! Everything here is about one group; groups share nothing. A *row* is what the group knows about a flow:
//!
//! ```text
//!            SYN, datagram                 first answer
//!   nothing ---------------> opening ----------------------> bound --+
//!      |                        | last refusal                  |    | SYN with another sequence number:
//!      | any other packet       v                               |    | a new question
//!      +----------> resuming  nothing <-------------------------+ <--+
//!                       |  last refusal       (UDP: its end is unreachable; an end left)
//!                       +--- first packet back ---> bound
//! ```
//!
//! What follows from two principles:
//! a row may vanish at any moment (the in-kernel table evicts), and a refusal passes only when it is everybody's.
//!
//! - **A question** (opening, resuming) holds whose refusals are missing. It is about the endpoints that were there when
//!   it was asked: one that joins later is asked by the next retransmission, and its refusal does not count before.
//! - **A SYN** with the sequence number of its row is a retransmission: an open question is asked afresh, a bound one
//!   goes to its end. With another number it is a new connection and always a new question, so that a listener
//!   that moved, or a port used again in TIME_WAIT, is judged by those who are there now.
//! - **A refusal counts** once for each endpoint, and only if it is about this very question (RST: its acknowledgement;
//!   ICMP: the quoted sequence number). So refusals of an earlier attempt from the same port, and floods, do nothing.
//! - **A SYN-ACK that acknowledges the question** binds. What else comes back to a SYN goes to the asker without
//!   binding: the acknowledgement of a half-open old connection must reach it, or it could never be reset. The
//!   asker's RST then goes to all who have not refused.
//! - **A RST or ICMP error of an unknown flow is dropped**: it may be one refusal of many. The end that waits for it
//!   learns all when it sends again, for then all are asked.
//! - **Simultaneous open** makes two rows, one for each asker, that are bound to the same two ends.
//! - **UDP** keeps the addresses in the flow as well as the ports: two servers may share a port on 127.0.0.2 and
//!   127.0.0.3. An open question goes on only to those who have not refused, so one-way traffic soon has one target.
//!   A bound end that answers "unreachable" is unbound; the error passes only when there is no third endpoint to ask,
//!   else the next datagram asks them all.
//! - **Fragments** follow their datagram's first one; without it they are dropped.
//! - **Nobody else there**: the packet goes back to its sender, whose own kernel then refuses it.
//! - **An end leaves**: it is subtracted from questions, and the other end of a bound TCP flow is made to speak: its
//!   answer is a packet of an unknown flow, all refuse it, and with that it is reset by a RST that fits exactly.
//! - **Half-closed** flows are bound flows; nothing is concluded from a FIN.

mod departure;
mod flow;
mod group;
mod judge;
mod packet;
#[cfg(test)]
mod tests;

pub use departure::{Farewell, farewell};
pub use flow::{Flow, Kind, MAX_FRACTIONS, Place, Places, State};
pub use group::{Group, GroupFull};
pub use judge::{Outcome, Verdict};
pub use packet::{Body, FragmentId, Packet, Protocol, Tuple};
