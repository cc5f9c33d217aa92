//! Who waits for an answer.

use super::message::{Reply, RequestError};
use nestless_model::{
    attachment::{Answer, Granted, Ticket},
    identity::VmName,
};
use std::collections::BTreeMap;

/// Whom to answer, by the ticket that the machine was given in their stead.
#[derive(Default)]
pub(super) struct Waiting {
    last_ticket: u64,
    waiters: BTreeMap<Ticket, Waiter>,
}

/// Who asked what.
pub(super) enum Waiter {
    Attach(Reply<Granted>),
    Detach(Reply<bool>),
}

impl Waiting {
    /// A ticket for somebody.
    pub(super) fn ticket(&mut self, waiter: Waiter) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.waiters.insert(ticket, waiter);
        ticket
    }

    /// Answers whoever has the ticket. They may have hung up; that is theirs to mend by asking again.
    pub(super) fn answer(&mut self, vm: &VmName, ticket: Ticket, answer: Answer) {
        match (self.waiters.remove(&ticket), answer) {
            (Some(Waiter::Attach(reply)), Answer::Granted(granted)) => drop(reply.send(Ok(*granted))),
            (Some(Waiter::Detach(reply)), Answer::Detached { existed }) => drop(reply.send(Ok(existed))),
            (Some(waiter), Answer::Refused(refusal)) => {
                waiter.refuse(RequestError::Refused { vm: vm.clone(), refusal });
            }
            (waiter, answer) => debug_assert!(waiter.is_none(), "{answer:?} answers another question"),
        }
    }
}

impl Waiter {
    fn refuse(self, error: RequestError) {
        match self {
            Self::Attach(reply) => drop(reply.send(Err(error))),
            Self::Detach(reply) => drop(reply.send(Err(error))),
        }
    }
}
