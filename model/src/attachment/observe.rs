//! The world against the ledger: what was seen, and what follows from it.

use super::{
    nic::Nic,
    purpose::{Guarding, Purpose},
    record::{Goal, NicRecord},
    request::Refusal,
    vm_nics::{Context, Outcome, VmNics},
    world::{PortSeen, VmEvent, VmState, World},
};
use crate::identity::{AttachmentId, Mac, NicId};

impl VmNics {
    /// Compares, and starts what mends the difference. Returns a sentence per difference.
    pub fn observed(&mut self, world: &World, context: &mut Context<'_>, out: &mut Outcome) -> Vec<String> {
        if world.state == VmState::Running && self.state != VmState::Running {
            self.restart_deadlines(context.now_ms);
        }
        self.state = world.state;
        self.erased.retain(|_, generation| *generation > world.as_of);
        if world.state != VmState::Down {
            self.ports = world.ports;
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
            self.advance(id, out);
        }
        self.refill(context, out);
        findings
    }

    /// What is amiss with the host's half of an interface, in sentences; `None` if no NIC serves it.
    pub fn faults(&self, id: &AttachmentId, world: &World) -> Option<Vec<String>> {
        let nic = self.serving(id)?;
        let (link, port) = (nic.record.nic.link_name(), world.host_ends.get(&nic.record.nic));
        let mut faults = Vec::new();
        let mut fault = |amiss: bool, text: String| amiss.then(|| faults.push(text));
        fault(world.state == VmState::Down, "the VM's hypervisor does not answer".to_owned());
        fault(
            !world.plugged.contains(&nic.record.nic),
            format!("{} is not plugged into the VM", nic.record.nic),
        );
        fault(port.is_none(), format!("the host has no link {link}"));
        if !nic.record.belongs_in_bridge() {
            fault(port.is_some_and(|port| !port.isolated), format!("{link} is a port of a bridge, or down"));
            fault(port.is_some_and(|port| !port.reflected), format!("{link} is in no loopback group"));
        } else {
            let unjoined = format!("{link} is no port of its network's bridge, or down");
            fault(port.is_some_and(|port| !port.joined), unjoined);
            fault(port.is_some_and(|port| !port.guarded), format!("{link} has no guard"));
        }
        Some(faults)
    }

    fn compare(&mut self, id: NicId, world: &World, now_ms: u64, out: &mut Outcome) -> Option<String> {
        let device = world.plugged.contains(&id);
        let port = world.host_ends.get(&id).copied();
        if world.state == VmState::Down {
            // A host's end that is still there has somebody who holds it: the hypervisor lives, and only its control
            // socket does not answer. Nothing is known of the NIC then, and nothing is done with it.
            return if port.is_none() { self.died_with_vm(id, out) } else { None };
        }
        let nic = self.nics.get_mut(&id)?;
        let first_look = !std::mem::replace(&mut nic.known, true);
        match (device, port) {
            (true, Some(_)) if world.halves.contains(&id) => Self::half(nic, device),
            (true, Some(port)) => Self::whole(nic, port, first_look, now_ms),
            (false, None) => Self::missing(nic, first_look),
            (true, None) | (false, Some(_)) => Self::half(nic, device),
        }
    }

    /// Whoever waits for a NIC that is gone would wait for ever.
    fn refuse_for_lost(&mut self, id: NicId, out: &mut Outcome) {
        let lost = self.nics.get(&id).filter(|nic| nic.lost).and_then(|nic| nic.record.attachment());
        if let Some(attachment) = lost {
            let refusal = Refusal::AlreadyAttached { attachment: attachment.id.clone() };
            self.refuse_waiting(id, &refusal, out);
        }
    }

    fn whole(nic: &mut Nic, port: PortSeen, first_look: bool, now_ms: u64) -> Option<String> {
        let resumed = nic.host_end && nic.plugged;
        let was_placed = nic.is_placed();
        (nic.joined, nic.isolated) = (port.joined, port.isolated);
        let guarded = match nic.record.guarding() {
            Guarding::Reflected(_) => port.reflected,
            Guarding::Open(_) | Guarding::Closed => port.guarded,
        };
        let drifted = resumed && (was_placed && !nic.is_placed() || nic.guard.is_some() && !guarded);
        (nic.host_end, nic.plugged, nic.broken) = (true, true, false);
        if !resumed {
            nic.plugged_at_ms = now_ms;
        }
        if !guarded || first_look {
            // Entries are written again after a restart: the ledger is right, whatever the kernel holds.
            nic.guard = None;
        }
        let returned = std::mem::take(&mut nic.lost);
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
            };
            self.insert(record, out);
            findings.push(format!("{nic}: plugged, but not in the ledger; unplugging it"));
        }
        findings
    }

    fn died_with_vm(&mut self, id: NicId, out: &mut Outcome) -> Option<String> {
        let was_there = self.nics.get(&id).is_some_and(|nic| nic.plugged);
        self.refuse_waiting(id, &Refusal::VmDown, out);
        self.erase(id, out);
        was_there.then(|| format!("{id}: gone with its VM"))
    }

    /// Takes in what a hypervisor tells.
    pub fn happened(&mut self, event: VmEvent) -> Outcome {
        let mut out = Outcome::default();
        match event {
            VmEvent::Reset => {
                for nic in self.nics.values_mut() {
                    nic.visible = false;
                    // A reset completes every removal that the guest never answered.
                    nic.retry_at_ms = None;
                }
                self.shown = None;
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
