//! What turns the wheel: a step that has ended, and time that goes by.

use super::{
    change::Change,
    purpose::Guarding,
    record::Goal,
    request::AttachRefusal,
    step::{Step, StepFailure},
    vm_nics::{Context, Outcome, VmNics},
};
use crate::identity::NicId;

/// After a failed step, how long until it is tried again.
const RETRY_MS: u64 = 5_000;
/// After a guest did not let go of a NIC.
const QUARANTINE_RETRY_MS: u64 = 30_000;

impl VmNics {
    /// A step has ended: notes what is different now, and goes on.
    pub fn step_ended(
        &mut self,
        id: NicId,
        result: Result<(), StepFailure>,
        context: &mut Context<'_>,
    ) -> Outcome {
        let mut out = Outcome::default();
        self.generation += 1;
        let Some(nic) = self.nics.get_mut(&id) else { return out };
        nic.touched = self.generation;
        let Some(step) = nic.running.take() else { return out };
        match result {
            Ok(()) => self.succeeded(id, step, context.now_ms, &mut out),
            Err(failure) => self.failed(id, &step, failure, context, &mut out),
        }
        self.advance(id, &mut out);
        self.refill(context, &mut out);
        out
    }

    fn succeeded(&mut self, id: NicId, step: Step, now_ms: u64, out: &mut Outcome) {
        let nic = self.nics.get_mut(&id).expect("the caller has just found it");
        match step {
            Step::CreateHostEnd => nic.host_end = true,
            Step::Guard(guarding) => nic.guard = Some(guarding),
            Step::Enslave => (nic.enslaved, nic.isolated) = (true, false),
            Step::Isolate => (nic.enslaved, nic.isolated) = (false, true),
            Step::Plug => {
                nic.plugged = true;
                nic.expected_since_ms = now_ms;
            }
            Step::Unplug => {
                nic.forget_world();
                if nic.record.goal == Goal::Remove {
                    self.erase(id, out);
                }
            }
        }
    }

    fn failed(
        &mut self,
        id: NicId,
        step: &Step,
        failure: StepFailure,
        context: &mut Context<'_>,
        out: &mut Outcome,
    ) {
        let nic = self.nics.get_mut(&id).expect("the caller has just found it");
        if nic.record.goal == Goal::Remove {
            if matches!(step, Step::Guard(_)) {
                // A link without its guard lets nothing through, and a link that is gone has none: unplug all the same.
                nic.guard = Some(Guarding::Closed);
                nic.believed_closed = true;
            }
            if *step != Step::Unplug {
                // Whatever was being built is no longer wanted: take it down now.
                return;
            }
            let stuck = matches!(failure, StepFailure::UnplugTimeout(_));
            nic.retry_at_ms = Some(context.now_ms + if stuck { QUARANTINE_RETRY_MS } else { RETRY_MS });
            if stuck && !std::mem::replace(&mut nic.record.quarantined, true) {
                out.changes.push(Change::Save(nic.record.clone()));
            }
            return;
        }
        match nic.record.attachment() {
            Some(attachment) if attachment.confirmed => nic.retry_at_ms = Some(context.now_ms + RETRY_MS),
            Some(attachment) => {
                let refusal = AttachRefusal::StepFailed {
                    attachment: attachment.id.clone(),
                    step: step.to_string(),
                    failure,
                };
                self.refuse_waiting(id, &refusal, out);
                self.set_goal(id, Goal::Remove, out);
            }
            None if *step == Step::Unplug => nic.retry_at_ms = Some(context.now_ms + RETRY_MS),
            None => self.give_up_spare(id, context, out),
        }
    }

    /// Time goes by: failed steps are tried again, NICs that never became visible, or never came back, are given up.
    pub fn tick(&mut self, context: &mut Context<'_>) -> Outcome {
        let mut out = Outcome::default();
        self.guest_limit = self.guest_limit.filter(|limit| context.now_ms < limit.until_ms);
        for id in self.invisible_spares(context.now_ms) {
            self.learn_limit(context.now_ms);
            self.give_up_spare(id, context, &mut out);
            self.advance(id, &mut out);
        }
        let mut unwanted = self.kept_back(context.now_ms);
        unwanted.extend(self.useless_spares());
        for id in unwanted {
            self.set_goal(id, Goal::Remove, &mut out);
            self.advance(id, &mut out);
        }
        let due: Vec<NicId> = self
            .nics
            .values_mut()
            .filter(|nic| nic.retry_at_ms.is_some_and(|at| at <= context.now_ms))
            .map(|nic| {
                nic.retry_at_ms = None;
                nic.record.nic
            })
            .collect();
        for id in due {
            self.advance(id, &mut out);
        }
        self.refill(context, &mut out);
        out
    }
}
