//! The world against the ledger: what was seen, and what follows from it.

use super::{
    nic::Nic,
    purpose::{Guarding, Purpose},
    record::{Goal, NicRecord},
    request::AttachRefusal,
    vm_nics::{Context, Outcome, VmNics},
    world::{HostEndState, VmEvent, VmState, World},
};
use crate::identity::{AttachmentId, Mac, NicId};

impl VmNics {
    /// Compares, and starts what mends the difference. Returns a sentence per difference.
    pub fn observed(&mut self, world: &World, context: &mut Context<'_>, out: &mut Outcome) -> Vec<String> {
        if world.state == VmState::Running && self.state != VmState::Running {
            self.restart_deadlines(context.now_ms);
        }
        if world.state == VmState::Ended && self.state != VmState::Ended {
            self.end_endpoints(out);
        }
        self.state = world.state;
        self.erased.retain(|_, generation| *generation > world.as_of);
        if world.state != VmState::Down {
            self.slots = world.slots;
        }
        let mut findings = self.adopt_orphans(world, out);
        let quiet: Vec<NicId> = self
            .nics
            .values()
            .filter(|nic| nic.running.is_none() && nic.touched <= world.as_of)
            .map(|nic| nic.record.nic)
            .collect();
        for id in quiet {
            findings.extend(self.compare(id, world, context.now_ms, out));
            self.refuse_for_lost(id, out);
            findings.extend(self.end_lost_endpoint(id, out));
            self.advance(id, out);
        }
        self.refill(context, out);
        findings
    }

    /// What is amiss with the host's half of an interface, in sentences; `None` if no NIC serves it.
    pub fn faults(&self, id: &AttachmentId, world: &World) -> Option<Vec<String>> {
        let nic = self.serving(id)?;
        let (link, end) = (nic.record.nic.link_name(), world.host_ends.get(&nic.record.nic));
        let mut faults = Vec::new();
        let mut fault = |amiss: bool, text: String| amiss.then(|| faults.push(text));
        let overtaken = format!("{link} is closed: another program stands before its filter");
        fault(end.is_some_and(|end| end.overtaken), overtaken);
        fault(world.state == VmState::Down, "the VM's hypervisor does not answer".to_owned());
        fault(
            !world.plugged.contains(&nic.record.nic),
            format!("{} is not plugged into the VM", nic.record.nic),
        );
        fault(end.is_none(), format!("the host has no link {link}"));
        if !nic.record.belongs_in_bridge() {
            fault(end.is_some_and(|end| !end.isolated), format!("{link} is a port of a bridge, or down"));
            fault(end.is_some_and(|end| !end.reflected), format!("{link} is in no loopback group"));
        } else {
            let elsewhere = format!("{link} is no port of its network's bridge, or down");
            fault(end.is_some_and(|end| !end.enslaved), elsewhere);
            fault(end.is_some_and(|end| !end.guarded), format!("{link} has no guard"));
        }
        Some(faults)
    }

    fn compare(&mut self, id: NicId, world: &World, now_ms: u64, out: &mut Outcome) -> Option<String> {
        let device = world.plugged.contains(&id);
        let end = world.host_ends.get(&id).copied();
        if world.state == VmState::Down {
            // A host's end that is still there has somebody who holds it: the hypervisor lives, and only its control
            // socket does not answer. Nothing is known of the NIC then, and nothing is done with it.
            return if end.is_none() { self.died_with_vm(id, out) } else { None };
        }
        let nic = self.nics.get_mut(&id)?;
        let first_look = !std::mem::replace(&mut nic.observed, true);
        match (device, end) {
            (true, Some(_)) if world.halves.contains(&id) => Self::half(nic, device),
            (true, Some(end)) => Self::whole(nic, end, first_look, now_ms),
            (false, None) => Self::missing(nic, first_look),
            (true, None) | (false, Some(_)) => Self::half(nic, device),
        }
    }

    /// Whoever waits for a NIC that is gone would wait for ever.
    fn refuse_for_lost(&mut self, id: NicId, out: &mut Outcome) {
        let lost = self.nics.get(&id).filter(|nic| nic.lost).and_then(|nic| nic.record.attachment());
        if let Some(attachment) = lost {
            let refusal = AttachRefusal::AlreadyAttached { attachment: attachment.id.clone() };
            self.refuse_waiting(id, &refusal, out);
        }
    }

    /// A fraction has its localhost by its NIC alone: when that is gone, so is the fraction. Its name and its place are
    /// another's at once, for the pod may be made anew elsewhere before anybody takes this one away.
    fn end_lost_endpoint(&mut self, id: NicId, out: &mut Outcome) -> Option<String> {
        let membership = self.nics.get(&id).filter(|nic| nic.lost)?.record.membership()?;
        let told = format!(
            "{id}: fraction {} of loopback group {} went with it; another may have its name now",
            membership.fraction, membership.group
        );
        self.set_goal(id, Goal::Remove, out);
        Some(told)
    }

    /// The guest that had them is over, and its sandboxes with it. What becomes of its pods' interfaces the next one's hello
    /// decides, but a fraction's name is wanted elsewhere.
    fn end_endpoints(&mut self, out: &mut Outcome) {
        let endpoints = self.nics.values().filter(|nic| nic.record.membership().is_some());
        let ending: Vec<_> = endpoints.map(|nic| (nic.record.nic, self.wants_back(nic))).collect();
        for (id, keep) in ending {
            let attachment = self.nics.get(&id).and_then(|nic| nic.record.attachment());
            if let Some(attachment) = attachment.map(|attachment| attachment.id.clone()) {
                self.refuse_waiting(id, &AttachRefusal::Overtaken { attachment }, out);
            }
            self.set_goal(id, if keep { Goal::Spare } else { Goal::Remove }, out);
        }
    }

    fn whole(nic: &mut Nic, end: HostEndState, first_look: bool, now_ms: u64) -> Option<String> {
        let resumed = nic.host_end && nic.plugged;
        let was_placed = nic.is_placed();
        (nic.enslaved, nic.isolated) = (end.enslaved, end.isolated);
        let guarded = match nic.record.guarding() {
            Guarding::Reflected(_) => end.reflected,
            Guarding::Open(_) | Guarding::Closed => end.guarded,
        };
        let drifted = resumed && (was_placed && !nic.is_placed() || nic.guard.is_some() && !guarded);
        (nic.host_end, nic.plugged, nic.broken) = (true, true, false);
        if !resumed {
            nic.expected_since_ms = now_ms;
        }
        if !guarded || first_look {
            // Entries are written again after a restart: the ledger is right, whatever the kernel holds.
            nic.guard = None;
        }
        let returned = std::mem::take(&mut nic.lost);
        let was_overtaken = std::mem::replace(&mut nic.overtaken, end.overtaken);
        if end.overtaken {
            let id = nic.record.nic;
            return (!was_overtaken).then(|| {
                format!("{id}: another program stands before its filter on the host; its port is closed")
            });
        }
        (drifted || returned).then(|| format!("{}: put back in place on the host", nic.record.nic))
    }

    fn missing(nic: &mut Nic, first_look: bool) -> Option<String> {
        let was_there = nic.plugged;
        let confirmed = nic.record.attachment().is_some_and(|a| a.confirmed);
        let lost_before = nic.lost;
        let retry = nic.retry_at_ms;
        nic.forget_world();
        nic.retry_at_ms = retry;
        match nic.record.goal {
            Goal::Serve(_) if lost_before || was_there || confirmed => {
                nic.lost = true;
                (!lost_before).then(|| format!("{}: gone from the VM while a pod uses it", nic.record.nic))
            }
            Goal::Serve(_) if first_look => {
                Some(format!("{}: its attach was cut short; doing it now", nic.record.nic))
            }
            Goal::Spare if was_there => {
                Some(format!("{}: a spare NIC vanished; plugging it again", nic.record.nic))
            }
            _ => None,
        }
    }

    fn half(nic: &mut Nic, device: bool) -> Option<String> {
        let half = if device { "plugged in part only" } else { "a host end that is not plugged" };
        let confirmed = nic.record.attachment().is_some_and(|a| a.confirmed);
        if confirmed {
            let news = !std::mem::replace(&mut nic.lost, true);
            return news.then(|| format!("{}: {half}, while a pod uses it", nic.record.nic));
        }
        if nic.record.goal == Goal::Remove {
            (nic.host_end, nic.plugged) = (!device, device);
            nic.guard = Some(Guarding::Closed);
            return None;
        }
        let news = !std::mem::replace(&mut nic.broken, true);
        news.then(|| format!("{}: {half}; starting over", nic.record.nic))
    }

    /// NICs of ours that the hypervisor has and the ledger does not know.
    fn adopt_orphans(&mut self, world: &World, out: &mut Outcome) -> Vec<String> {
        let unknown: Vec<NicId> = world
            .plugged
            .iter()
            .copied()
            .filter(|id| !self.nics.contains_key(id) && !self.erased.contains_key(id))
            .collect();
        let mut findings = Vec::new();
        for nic in unknown {
            let record = NicRecord {
                nic,
                vm: self.vm.clone(),
                network: self.limits.default_network.clone(),
                mac: Mac::of_nic(0, nic),
                mtu: self.limits.mtu,
                goal: Goal::Remove,
                purpose: Purpose::default(),
                quarantined: false,
                returning: false,
            };
            self.insert(record, out);
            findings.push(format!("{nic}: plugged, but not in the ledger; unplugging it"));
        }
        findings
    }

    fn died_with_vm(&mut self, id: NicId, out: &mut Outcome) -> Option<String> {
        let was_there = self.nics.get(&id).is_some_and(|nic| nic.plugged);
        self.refuse_waiting(id, &AttachRefusal::VmDown, out);
        self.erase(id, out);
        was_there.then(|| format!("{id}: gone with its VM"))
    }

    /// Takes in what a hypervisor tells.
    pub fn happened(&mut self, event: VmEvent) -> Outcome {
        let mut out = Outcome::default();
        match event {
            VmEvent::Reset => {
                self.end_endpoints(&mut out);
                for nic in self.nics.values_mut() {
                    (nic.visible, nic.parked, nic.spent) = (false, false, false);
                    // A reset completes every removal that the guest never answered.
                    nic.retry_at_ms = None;
                }
                self.guest_limit = None;
                self.unheard = true;
                let all: Vec<NicId> = self.nics.keys().copied().collect();
                for id in all {
                    self.advance(id, &mut out);
                }
            }
            VmEvent::NicGone(id) => {
                if let Some(nic) = self.nics.get_mut(&id)
                    && nic.record.goal == Goal::Remove
                {
                    nic.retry_at_ms = None;
                    self.advance(id, &mut out);
                }
            }
        }
        out
    }
}
