//! The wheel's hub: every input ends in `advance`, which orders the one step that comes next.

use super::{
    change::Change,
    nic::Nic,
    purpose::Purpose,
    record::{Goal, NicRecord},
    request::{Answer, AttachRefusal, Granted},
    step::StepOrder,
    vm_nics::{Outcome, VmNics},
};
use crate::identity::{NetworkName, NicId};

impl VmNics {
    /// Where every input ends: answers what can be answered, and orders the next step of the NIC.
    pub(super) fn advance(&mut self, id: NicId, out: &mut Outcome) {
        self.let_go(id, out);
        self.answer(id, out);
        let Some(nic) = self.nics.get_mut(&id) else { return };
        if let Some(step) = nic.next_step() {
            self.generation += 1;
            nic.touched = self.generation;
            nic.running = Some(step.clone());
            out.steps.push(StepOrder { record: nic.record.clone(), step });
        }
    }

    /// A silent spare NIC has no use for the last pod's addresses. One that goes keeps them until the guest has let go of
    /// it, but for what may be wanted again at once, which nothing on that NIC can disturb any more: a fraction's place in
    /// its loopback group, and addresses that the VM has reserved.
    fn let_go(&mut self, id: NicId, out: &mut Outcome) {
        let Some(nic) = self.nics.get_mut(&id) else { return };
        // What has no host end is in no loopback group.
        let silent = nic.guard_is_closed() || nic.observed && !nic.host_end && nic.record.is_for_endpoint();
        if nic.record.attachment().is_some() || !silent || nic.running.is_some() {
            return;
        }
        let record = &mut nic.record;
        let former = record.purpose.clone();
        let (kept, given_back) = match &former {
            Purpose::Pod { .. } if record.goal == Goal::Remove && nic.believed_closed => return,
            Purpose::Pod { .. } if record.goal == Goal::Remove => {
                let reserved = |ip| self.reservations.contains_key(&(record.network.clone(), ip));
                (former.clone().without(reserved), Purpose::default())
            }
            Purpose::Pod { .. } | Purpose::Endpoint(_) => (Purpose::default(), former.clone()),
        };
        if kept == former {
            return;
        }
        record.purpose = kept;
        let record = record.clone();
        self.release(record.network.clone(), given_back, out);
        out.changes.push(Change::Save(record));
    }

    /// Gives back to the pools what a NIC held, but for addresses that the VM has reserved.
    fn release(&self, network: NetworkName, purpose: Purpose, out: &mut Outcome) {
        let purpose = purpose.without(|ip| self.reservations.contains_key(&(network.clone(), ip)));
        if !purpose.is_empty() {
            out.changes.push(Change::Release { network, purpose });
        }
    }

    fn answer(&mut self, id: NicId, out: &mut Outcome) {
        let Some(nic) = self.nics.get(&id) else { return };
        if nic.record.attachment().is_some() {
            if nic.is_settled() && nic.running.is_none() {
                for (ticket, warm) in self.attaching.remove(&id).unwrap_or_default() {
                    out.answers.push((ticket, Answer::Granted(Box::new(Granted::of(&nic.record, warm)))));
                }
            }
        } else if nic.guard_is_closed() || !nic.host_end && nic.running.is_none() {
            self.answer_detached(id, out);
        }
    }

    fn answer_detached(&mut self, id: NicId, out: &mut Outcome) {
        let tickets = self.detaching.remove(&id).unwrap_or_default();
        out.answers.extend(tickets.into_iter().map(|ticket| (ticket, Answer::Detached { existed: true })));
    }

    pub(super) fn refuse_waiting(&mut self, id: NicId, refusal: &AttachRefusal, out: &mut Outcome) {
        for (ticket, _) in self.attaching.remove(&id).unwrap_or_default() {
            out.answers.push((ticket, Answer::Refused(refusal.clone())));
        }
    }

    pub(super) fn set_goal(&mut self, id: NicId, goal: Goal, out: &mut Outcome) {
        if let Some(nic) = self.nics.get_mut(&id) {
            nic.record.goal = goal;
            nic.retry_at_ms = None;
            out.changes.push(Change::Save(nic.record.clone()));
        }
    }

    pub(super) fn insert(&mut self, record: NicRecord, out: &mut Outcome) {
        out.changes.push(Change::Save(record.clone()));
        self.nics.insert(record.nic, Nic::planned(record));
    }

    pub(super) fn erase(&mut self, id: NicId, out: &mut Outcome) {
        if let Some(nic) = self.nics.remove(&id) {
            self.generation += 1;
            self.erased.insert(id, self.generation);
            let NicRecord { network, purpose, .. } = nic.record;
            self.release(network, purpose, out);
            out.changes.push(Change::Erase(id));
            self.answer_detached(id, out);
        }
    }
}
