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
//!   asker's RST then goes to all who have not refused. Nor does a SYN-ACK bind a flow that is resumed: it may be that
//!   of a second listener, whose half-open connection would refuse the packets of the first one's.
//! - **A RST or ICMP error of an unknown flow is dropped**: it may be one refusal of many. The end that waits for it
//!   learns all when it sends again, for then all are asked.
//! - **A SYN-ACK of an unknown flow is dropped** too: it may be a second listener's. Asked of all, it would reach the
//!   first listener, whose kernel refuses it with a RST that stays there and fits its connection with the asker.
//! - **Simultaneous open** makes two rows, one for each asker, that are bound to the same two ends.
//! - **Both ends ask for each other**, of an evicted flow or with datagrams: the first packet that answers the other's
//!   question binds that one, and the own question goes.
//! - **UDP** keeps the addresses in the flow as well as the ports: two servers may share a port on 127.0.0.2 and
//!   127.0.0.3. An open question goes on only to those who have not refused, so one-way traffic soon has one target.
//!   A bound end that answers "unreachable" is unbound; the error passes only when there is no third endpoint to ask,
//!   else the next datagram asks them all.
//! - **Fragments** follow their datagram's first one; without it they are dropped.
//! - **Nobody else there**: the packet goes back to its sender, whose own kernel then refuses it. So does the SYN-ACK of a
//!   connection with itself, which no other fraction can have asked for.
//! - **A connection is over** when both ends have sent a FIN that the other has acknowledged, or when one sends a RST: its
//!   row goes, so that the table is of those that live. What comes later (the RST was none to its receiver, an
//!   acknowledgement was lost) is asked of all, like any packet without a row. Of a simultaneous open, whose two rows see one
//!   direction each, only a RST is seen.
//! - **Who is silent** is not asked, and no refusal of theirs is missing, until they answer the host's probe again
//!   ([`Hearing`]): a guest that is stopped, or that has no IPv6, says nothing, where every kernel that runs refuses.
//! - **An end leaves**: it is subtracted from questions, and the other end of a bound TCP flow is made to speak: its
//!   answer is a packet of an unknown flow, all refuse it, and with that it is reset by a RST that fits exactly.
//! - **Half-closed** flows are bound flows.
//!
//! Three things cannot be known here. A fraction that begins to listen on a port while a client of its own waits for an
//! answer to that port from elsewhere keeps the client's next SYN (the kernel sends it after a second) to itself. And
//! when a row is evicted between two listeners' answers to one SYN, whose retransmission is under way, the second may
//! be bound. In both, two attempts of one number are open, and the client may be reset, as by a listener that
//! was restarted. And an end whose peer's RST met no row, and whose port pair is another fraction's connection before it
//! speaks again, is ended by its own timers.

mod departure;
mod flow;
mod group;
mod hearing;
mod judge;
mod membership;
mod owner;
mod packet;
mod size;
#[cfg(test)]
mod tests;

pub use departure::{Farewell, farewell, overdue};
pub use flow::{Flow, Half, Kind, MAX_FRACTIONS, Place, PlaceError, Places, State};
pub use group::{Group, GroupFull};
pub use hearing::{Hearing, probe};
pub use judge::{Outcome, Verdict};
pub use membership::{GroupId, Groups, JoinError, JoinWish, KnownGroup, Left, Membership};
pub use owner::{Owner, OwnerError};
pub use packet::{Body, Family, FragmentId, Packet, Protocol, Tuple};
pub use size::{GroupSize, GroupSizeError};
