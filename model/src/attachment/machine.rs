//! One VM: requests, results and observations in; durable changes, steps and answers out.

use super::{
    nic::{Nic, Step},
    observe::VmState,
    purpose::Purpose,
    record::{Goal, Guarding, NicRecord},
    request::{Answer, Granted, Refusal, Ticket},
};
use crate::identity::{AttachmentId, BootId, Mac, Mtu, NetworkName, NicId, VmName};
use std::collections::BTreeMap;

/// After a failed step, how long until it is tried again.
const RETRY_MS: u64 = 5_000;
/// After a guest did not let go of a NIC.
const QUARANTINE_RETRY_MS: u64 = 30_000;

/// How long a limit is believed that was found out by a NIC that did not show: the guest may only have been slow.
const SHOWN_MS: u64 = 600_000;

/// What the operator fixed for a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// NICs at most, spare ones included.
    pub nic_limit: u32,
    /// Spare NICs to keep plugged.
    pub warm_pool: u32,
    /// Spare NICs to keep when pods give them back; at least `warm_pool`.
    pub warm_pool_max: u32,
    /// The network of the spare NICs.
    pub default_network: NetworkName,
    /// That network's.
    pub mtu: Mtu,
}

/// What a decision may draw on besides its input.
pub struct Context<'a> {
    /// Milliseconds of a clock that never goes back.
    pub now_ms: u64,
    /// A NIC id never used before, and its address.
    pub fresh_nic: &'a mut dyn FnMut() -> (NicId, Mac),
}

/// What follows from an input. Changes come first and must be durable before the rest happens.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// For the ledger, all or none.
    pub changes: Vec<Change>,
    /// To carry out, in any order and at the same time.
    pub steps: Vec<StepOrder>,
    /// To answer.
    pub answers: Vec<(Ticket, Answer)>,
}

/// A durable change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Write the record, new or not.
    Save(NicRecord),
    /// Forget the NIC.
    Erase(NicId),
    /// Nobody can use these any more: let them cool down.
    Release {
        /// Of which network.
        network: NetworkName,
        /// What was held for it.
        purpose: Purpose,
    },
    /// The guest's boot from now on.
    Boot(BootId),
}

/// A step to carry out on a NIC. Its result comes back through [`VmNics::done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOrder {
    /// The NIC's record.
    pub record: NicRecord,
    /// What to do.
    pub step: Step,
}

/// Why a step failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StepFailure {
    /// No hot-plug place is free.
    #[error("{0}")]
    NoPort(String),
    /// The hypervisor does not answer.
    #[error("{0}")]
    VmDown(String),
    /// The guest did not let go.
    #[error("{0}")]
    UnplugTimeout(String),
    /// The hypervisor refused.
    #[error("{0}")]
    Hypervisor(String),
    /// Link, bridge or guard.
    #[error("{0}")]
    Fabric(String),
}

/// A limit that was found out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) nics: u32,
    until_ms: u64,
}

/// All NICs of one VM.
#[derive(Debug)]
pub struct VmNics {
    pub(super) vm: VmName,
    pub(super) limits: Limits,
    pub(super) state: VmState,
    pub(super) boot: Option<BootId>,
    pub(super) nics: BTreeMap<NicId, Nic>,
    /// Hot-plug places, as the hypervisor counts them.
    pub(super) ports: Option<u32>,
    /// How many NICs this boot of the guest could show, once that was found out.
    pub(super) shown: Option<Shown>,
    pub(super) hold_until_ms: u64,
    /// Nobody has spoken for the guest since the daemon started or the guest was reset: it may be booting, and then it
    /// neither shows a NIC nor lets go of one.
    pub(super) unheard: bool,
    pub(super) erased: BTreeMap<NicId, u64>,
    pub(super) attaching: BTreeMap<NicId, Vec<(Ticket, bool)>>,
    pub(super) detaching: BTreeMap<NicId, Vec<Ticket>>,
    generation: u64,
}

impl VmNics {
    /// From the ledger; nothing is done before the first [`VmNics::observed`].
    pub fn new(vm: VmName, limits: Limits, boot: Option<BootId>, records: Vec<NicRecord>) -> Self {
        Self {
            vm,
            limits,
            // Whoever was served before the daemon restarted is not told to wait for a hello.
            state: VmState::Running,
            boot,
            nics: records.into_iter().map(|record| (record.nic, Nic::unknown(record))).collect(),
            ports: None,
            shown: None,
            hold_until_ms: 0,
            unheard: true,
            erased: BTreeMap::new(),
            attaching: BTreeMap::new(),
            detaching: BTreeMap::new(),
            generation: 0,
        }
    }

    /// All NICs, for status.
    pub fn nics(&self) -> impl Iterator<Item = &Nic> {
        self.nics.values()
    }

    /// One NIC.
    pub fn nic(&self, id: NicId) -> Option<&Nic> {
        self.nics.get(&id)
    }

    /// How the VM was when last looked at.
    pub fn state(&self) -> VmState {
        self.state
    }

    /// The NIC that serves an interface.
    pub fn serving(&self, id: &AttachmentId) -> Option<&Nic> {
        self.nics.values().find(|nic| nic.record.attachment().is_some_and(|a| a.id == *id))
    }

    /// The network of a pod that names none.
    pub fn default_network(&self) -> &NetworkName {
        &self.limits.default_network
    }

    /// Counts what was done; an observation names the count at which it began.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Time goes by: failed steps are tried again, NICs that the guest never showed are given up.
    pub fn tick(&mut self, context: &mut Context<'_>) -> Outcome {
        let mut out = Outcome::default();
        self.shown = self.shown.filter(|shown| context.now_ms < shown.until_ms);
        for id in self.unseen_spares(context.now_ms) {
            self.learn_limit(context.now_ms);
            self.give_up_spare(id, context, &mut out);
            self.advance(id, &mut out);
        }
        for id in self.useless_spares() {
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

    /// A step has ended.
    pub fn done(&mut self, id: NicId, result: Result<(), StepFailure>, context: &mut Context<'_>) -> Outcome {
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
            Step::Join => (nic.joined, nic.isolated) = (true, false),
            Step::Isolate => (nic.joined, nic.isolated) = (false, true),
            Step::Plug => {
                nic.plugged = true;
                nic.plugged_at_ms = now_ms;
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
                let refusal = Refusal::StepFailed {
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

    /// Answers what can be answered, and starts the next step.
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
    /// it, but for its place in a loopback group: the fraction may be about to come back, and from there nobody hears
    /// the NIC any more.
    fn let_go(&mut self, id: NicId, out: &mut Outcome) {
        let Some(nic) = self.nics.get_mut(&id) else { return };
        if nic.record.attachment().is_some() || !nic.guard_is_closed() || nic.running.is_some() {
            return;
        }
        let keeps = match &nic.record.purpose {
            Purpose::Pod { .. } => nic.record.goal == Goal::Remove,
            Purpose::Endpoint(_) => false,
        };
        if keeps || nic.record.purpose.is_empty() {
            return;
        }
        let purpose = std::mem::take(&mut nic.record.purpose);
        out.changes.push(Change::Release { network: nic.record.network.clone(), purpose });
        out.changes.push(Change::Save(nic.record.clone()));
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

    pub(super) fn refuse_waiting(&mut self, id: NicId, refusal: &Refusal, out: &mut Outcome) {
        for (ticket, _) in self.attaching.remove(&id).unwrap_or_default() {
            out.answers.push((ticket, Answer::Refused(refusal.clone())));
        }
    }

    /// The guest showed so many NICs and no more: asking for another would only make a pod wait in vain.
    pub(super) fn learn_limit(&mut self, now_ms: u64) {
        self.shown = Some(Shown { nics: self.seen().max(1), until_ms: now_ms + SHOWN_MS });
    }

    /// A guest that was merely slow has shown more by now.
    pub(super) fn correct_limit(&mut self) {
        let seen = self.seen();
        self.shown = self.shown.filter(|shown| seen <= shown.nics);
    }

    fn seen(&self) -> u32 {
        u32::try_from(self.nics.values().filter(|nic| nic.was_seen()).count()).unwrap_or(u32::MAX)
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
            if !purpose.is_empty() {
                out.changes.push(Change::Release { network, purpose });
            }
            out.changes.push(Change::Erase(id));
            self.answer_detached(id, out);
        }
    }
}
