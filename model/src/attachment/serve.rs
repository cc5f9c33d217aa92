//! What guests ask, and what follows.

use super::{
    change::Change,
    purpose::Wish,
    record::{Goal, NicRecord},
    request::{Answer, AttachOrder, AttachRefusal, Ticket},
    vm_nics::{Context, Outcome, VmNics},
    warm_pool::{HOLD_MS, VISIBLE_DEADLINE_MS},
};
use crate::identity::{AttachmentId, BootId, Mac, NetworkName, NicId, RequestId};
use std::collections::BTreeSet;

/// Repetitions of one attach that may wait for it. An agent repeats when a connection breaks; more is a flood.
const WAITING_AT_ONCE: usize = 16;

impl VmNics {
    /// Whether an attach would need addresses: not if it is a repetition or refused anyway.
    ///
    /// # Errors
    /// When it would be refused whatever the addresses.
    pub fn admits(
        &self,
        id: &AttachmentId,
        request: &RequestId,
        network: &NetworkName,
        wish: &Wish,
    ) -> Result<Admission, AttachRefusal> {
        if let Some(nic) = self.serving(id) {
            return match nic.record.attachment() {
                Some(attachment) if attachment.request == *request && !nic.lost => Ok(Admission::Repeated),
                _ => Err(AttachRefusal::AlreadyAttached { attachment: id.clone() }),
            };
        }
        self.is_ready()?;
        self.is_free_to_attach(network, wish)?;
        let capacity = self.capacity();
        let is_full = self.pick_spare(network).is_none() && capacity.total >= capacity.limit;
        if is_full && capacity.none_visible {
            return Err(AttachRefusal::NoneVisible);
        }
        // The operator may have lowered it below what there is.
        if is_full || capacity.in_use >= self.limits.nic_limit {
            return Err(AttachRefusal::NoCapacity {
                limit: capacity.limit,
                because: capacity.because,
                evicting: self.evictable().is_some(),
            });
        }
        Ok(Admission::New)
    }

    /// Repeats an attach that is under way or done.
    pub fn attach_again(&mut self, ticket: Ticket, id: &AttachmentId) -> Outcome {
        let mut out = Outcome::default();
        match self.serving(id).map(|nic| nic.record.nic) {
            Some(nic) => {
                let waiting = self.attaching.entry(nic).or_default();
                if waiting.len() >= WAITING_AT_ONCE {
                    let refusal = AttachRefusal::Waiting { attachment: id.clone() };
                    out.answers.push((ticket, Answer::Refused(refusal)));
                    return out;
                }
                waiting.push((ticket, false));
                self.advance(nic, &mut out);
            }
            None => out
                .answers
                .push((ticket, Answer::Refused(AttachRefusal::Overtaken { attachment: id.clone() }))),
        }
        out
    }

    /// Serves a pod: with a spare NIC if there is one. Must have been [admitted](Self::admits) as new.
    pub fn attach(&mut self, ticket: Ticket, order: AttachOrder, context: &mut Context<'_>) -> Outcome {
        let mut out = Outcome::default();
        let spare = self.pick_spare(&order.network);
        let goal = Goal::Serve(Box::new(order.attachment));
        let (id, warm) = if let Some(id) = spare {
            let nic = self.nics.get_mut(&id).expect("a picked spare NIC is one of the VM's");
            nic.record.goal = goal;
            nic.record.purpose = order.purpose;
            nic.parked = false;
            let warm = nic.visible;
            out.changes.push(Change::Save(nic.record.clone()));
            (id, warm)
        } else {
            let (nic, mac) = (context.fresh_nic)();
            let record = NicRecord {
                nic,
                vm: self.vm.clone(),
                network: order.network,
                mac,
                mtu: order.mtu,
                goal,
                purpose: order.purpose,
                quarantined: false,
                returning: false,
            };
            self.insert(record, &mut out);
            (nic, false)
        };
        self.attaching.entry(id).or_default().push((ticket, warm));
        self.advance(id, &mut out);
        self.refill(context, &mut out);
        out
    }

    /// Makes room at the limit: lets one spare NIC of any network go. For an attach that was refused for it.
    pub fn evict(&mut self, context: &mut Context<'_>) -> Outcome {
        let mut out = Outcome::default();
        if let Some(id) = self.evictable() {
            // Or the room that it makes would be a new spare NIC's.
            self.hold_until_ms = context.now_ms + HOLD_MS;
            self.set_goal(id, Goal::Remove, &mut out);
            self.advance(id, &mut out);
        }
        out
    }

    fn evictable(&self) -> Option<NicId> {
        self.nics
            .values()
            // One that is on its way back makes room by being spare.
            .find(|nic| nic.record.goal == Goal::Spare && nic.running.is_none() && !nic.record.returning)
            .map(|nic| nic.record.nic)
    }

    /// Ends a pod's interface. Answered when the guard is closed: unplugging may take the guest for ever.
    pub fn detach(&mut self, ticket: Ticket, id: &AttachmentId, context: &mut Context<'_>) -> Outcome {
        let mut out = Outcome::default();
        match self.serving(id).map(|nic| nic.record.nic) {
            None => out.answers.push((ticket, Answer::Detached { existed: false })),
            Some(nic) => {
                self.detaching.entry(nic).or_default().push(ticket);
                self.end(nic, context.now_ms, &mut out);
                self.advance(nic, &mut out);
            }
        }
        self.refill(context, &mut out);
        out
    }

    /// The guest says that the NIC serves the pod. It can say so of a plugged NIC only.
    ///
    /// # Errors
    /// When no plugged NIC serves that interface.
    pub fn confirm(&mut self, id: &AttachmentId, pci_address: &str) -> Result<Outcome, UnknownAttachment> {
        let mut out = Outcome::default();
        let nic = self
            .nics
            .values_mut()
            .find(|nic| nic.plugged && nic.record.attachment().is_some_and(|a| a.id == *id))
            .ok_or_else(|| UnknownAttachment(id.clone()))?;
        (nic.visible, nic.parked, nic.failed) = (true, false, false);
        let Goal::Serve(attachment) = &mut nic.record.goal else { return Err(UnknownAttachment(id.clone())) };
        if !attachment.confirmed || attachment.pci_address != pci_address {
            attachment.confirmed = true;
            attachment.pci_address = pci_address.to_owned();
            out.changes.push(Change::Save(nic.record.clone()));
        }
        Ok(out)
    }

    /// The NICs that the guest has in no sandbox: those that are as new, and those that it cannot make anew after a pod.
    pub fn reported(
        &mut self,
        free: &BTreeSet<Mac>,
        spent: &BTreeSet<Mac>,
        context: &mut Context<'_>,
    ) -> Outcome {
        let mut out = Outcome::default();
        self.heard(context.now_ms);
        let mut useless = Vec::new();
        for nic in self.nics.values_mut() {
            nic.parked = free.contains(&nic.record.mac);
            nic.spent = spent.contains(&nic.record.mac);
            match nic.record.goal {
                Goal::Spare => nic.visible = nic.parked,
                // The word may be about the time before it was given, or after it was given back.
                Goal::Serve(_) | Goal::Remove => nic.visible |= nic.parked,
            }
            if nic.record.goal == Goal::Spare && nic.parked && nic.record.returning {
                nic.record.returning = false;
                out.changes.push(Change::Save(nic.record.clone()));
            }
            useless.extend((nic.record.goal == Goal::Spare && nic.spent).then_some(nic.record.nic));
        }
        for id in useless {
            self.set_goal(id, Goal::Remove, &mut out);
            self.advance(id, &mut out);
        }
        self.correct_limit();
        self.refill(context, &mut out);
        out
    }

    /// The guest's agent is there. A boot other than the last one ends whatever the last one had.
    pub fn hello(&mut self, boot: &BootId, context: &mut Context<'_>) -> Outcome {
        let mut out = Outcome::default();
        self.heard(context.now_ms);
        if self.boot.as_ref() != Some(boot) {
            self.boot = Some(boot.clone());
            self.guest_limit = None;
            self.hold_until_ms = 0;
            out.changes.push(Change::Boot(boot.clone()));
            let all: Vec<NicId> = self.nics.keys().copied().collect();
            for id in all {
                self.end(id, context.now_ms, &mut out);
                if let Some(nic) = self.nics.get_mut(&id) {
                    (nic.visible, nic.parked, nic.spent) = (false, false, false);
                    // This guest's kernel has made it, and nobody has had it.
                    if std::mem::take(&mut nic.record.returning) {
                        out.changes.push(Change::Save(nic.record.clone()));
                    }
                }
                self.advance(id, &mut out);
            }
            self.unreserve_all(&mut out);
        }
        self.refill(context, &mut out);
        out
    }

    /// Somebody speaks for the guest. From now on what is plugged can be expected to become visible.
    fn heard(&mut self, now_ms: u64) {
        if std::mem::take(&mut self.unheard) {
            self.restart_deadlines(now_ms);
        }
    }

    /// A pod has no more use for its NIC: it waits for the next one, or goes.
    fn end(&mut self, id: NicId, now_ms: u64, out: &mut Outcome) {
        let Some(nic) = self.nics.get(&id) else { return };
        let Some(attachment) = nic.record.attachment() else { return };
        let refusal = AttachRefusal::Overtaken { attachment: attachment.id.clone() };
        let failed = !attachment.confirmed;
        let never_visible = nic.plugged
            && !nic.was_visible()
            && now_ms.saturating_sub(nic.expected_since_ms) >= VISIBLE_DEADLINE_MS / 2;
        let keep = self.wants_back(nic);
        if never_visible {
            self.learn_limit(now_ms);
        }
        self.refuse_waiting(id, &refusal, out);
        if let Some(nic) = self.nics.get_mut(&id).filter(|_| keep) {
            // Its pod may have it still: an operator can end an interface behind its guest's back. The guest's word that it
            // waits may have come first.
            nic.record.returning = !nic.parked;
            (nic.visible, nic.failed, nic.expected_since_ms) = (nic.parked, failed, now_ms);
        }
        self.set_goal(id, if keep { Goal::Spare } else { Goal::Remove }, out);
    }
}

/// What becomes of an attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Take addresses and [attach](VmNics::attach).
    New,
    /// It was asked before: [attach again](VmNics::attach_again).
    Repeated,
}

/// No NIC serves it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no NIC serves {0}")]
pub struct UnknownAttachment(pub AttachmentId);
