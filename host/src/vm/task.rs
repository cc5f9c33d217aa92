//! The task itself: waits for whatever happens next, has it decided, and sees to what follows.

use super::{
    message::{AttachRequest, Message, RequestError, Snapshot, VmHandle},
    ports::Ports,
    shared::Shared,
    steps::{Executor, Look},
};
use crate::{
    hypervisor::{Connected, VmEvent as Heard},
    ledger::LedgerError,
};
use nestless_model::{
    attachment::{
        Admission, Answer, AttachOrder, AttachRefusal, Attachment, Context, Granted, Limits, NicRecord,
        Outcome, StepFailure, Ticket, VmEvent, VmNics, VmState,
    },
    identity::{AttachmentId, BootId, LinkName, NicId, VmName},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tracing::{debug, info, warn};

/// Requests of one guest that may wait. A guest that sends more is told to come again.
const WAITING_REQUESTS: usize = 512;
/// How often failed steps are tried again and forgotten NICs found.
const TICK: Duration = Duration::from_secs(5);
/// How many ticks between two looks at the world.
const TICKS_PER_LOOK: u32 = 3;

/// One VM.
#[derive(Clone, Debug)]
pub struct VmConfig {
    /// Its name.
    pub name: VmName,
    /// What the operator fixed.
    pub limits: Limits,
    /// Pairs of queues per NIC.
    pub queues: u16,
}

/// Starts the task of a VM with what the ledger knows of it. The receiver hears when the first look is over; the join
/// handle ends with an error when the ledger could not be written, after which nothing may be promised any more.
pub fn spawn(
    config: VmConfig,
    connected: Connected,
    ports: Arc<dyn Ports>,
    shared: Arc<Shared>,
    records: Vec<NicRecord>,
    boot: Option<BootId>,
) -> (VmHandle, oneshot::Receiver<()>, tokio::task::JoinHandle<Result<(), LedgerError>>) {
    let (sender, messages) = mpsc::channel(WAITING_REQUESTS);
    let handle = VmHandle::new(config.name.clone(), connected.hypervisor.kind(), sender);
    let (looked, first_look) = oneshot::channel();
    let executor = Executor {
        hypervisor: connected.hypervisor,
        ports,
        queues: config.queues,
        ends: std::sync::Mutex::default(),
    };
    let task = Task {
        machine: VmNics::new(config.name.clone(), config.limits, boot.clone(), records),
        vm: config.name,
        boot,
        executor: Arc::new(executor),
        shared,
        born: Instant::now(),
        steps: JoinSet::new(),
        looks: JoinSet::new(),
        waiting: BTreeMap::new(),
        watching: Vec::new(),
        watched: Vec::new(),
        next_ticket: 0,
        look_again: false,
    };
    (handle, first_look, tokio::spawn(task.run(messages, connected.events, looked)))
}

type Reply<T> = oneshot::Sender<Result<T, RequestError>>;

enum Waiting {
    Attach(Reply<Granted>),
    Detach(Reply<bool>),
}

/// Who waits for a look at the world.
enum Watcher {
    Check(AttachmentId, Reply<Vec<String>>),
    Reconcile(Reply<Vec<String>>),
}

struct Task {
    vm: VmName,
    machine: VmNics,
    boot: Option<BootId>,
    executor: Arc<Executor>,
    shared: Arc<Shared>,
    born: Instant,
    steps: JoinSet<(NicId, Result<(), StepFailure>)>,
    looks: JoinSet<Result<Look, StepFailure>>,
    waiting: BTreeMap<Ticket, Waiting>,
    /// For the next look: the one under way may have begun before what they ask about was done.
    watching: Vec<Watcher>,
    /// For the look under way.
    watched: Vec<Watcher>,
    next_ticket: u64,
    /// Somebody wanted a look while one was under way that had begun too early for them.
    look_again: bool,
}

impl Task {
    async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut events: mpsc::Receiver<Heard>,
        looked: oneshot::Sender<()>,
    ) -> Result<(), LedgerError> {
        // Nobody is served from memory alone: first look.
        let world = self.executor.observe(self.machine.generation()).await;
        self.seen(world).await?;
        // The receiver is gone only if the daemon is stopping already.
        let _ = looked.send(());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until_look = TICKS_PER_LOOK;
        loop {
            tokio::select! {
                biased;
                Some(step) = self.steps.join_next() => {
                    let (nic, result) = finished(step);
                    self.stepped(nic, result).await?;
                }
                Some(look) = self.looks.join_next() => self.seen(finished(look)).await?,
                Some(event) = events.recv() => self.heard(event).await?,
                message = messages.recv() => match message {
                    Some(Message::Stop(reply)) => {
                        self.drain().await?;
                        let _ = reply.send(Ok(()));
                        return Ok(());
                    }
                    Some(message) => self.asked(message).await?,
                    None => return self.drain().await,
                },
                _ = ticks.tick() => {
                    self.decide(VmNics::tick).await?;
                    until_look -= 1;
                    if until_look == 0 {
                        until_look = TICKS_PER_LOOK;
                        self.look();
                    }
                }
            }
        }
    }

    /// Lets running steps end, and writes down how.
    async fn drain(&mut self) -> Result<(), LedgerError> {
        while let Some(step) = self.steps.join_next().await {
            let (nic, result) = finished(step);
            let outcome = self.outcome(|machine, context| machine.step_ended(nic, result, context));
            self.shared.commit(&self.vm, outcome.changes).await?;
        }
        Ok(())
    }

    async fn asked(&mut self, message: Message) -> Result<(), LedgerError> {
        match message {
            Message::Attach(request, reply) => self.attach(*request, reply).await?,
            Message::Detach(id, reply) => {
                let ticket = self.ticket(Waiting::Detach(reply));
                self.decide(|machine, context| machine.detach(ticket, &id, context)).await?;
            }
            Message::Confirm(id, pci_address, reply) => match self.machine.confirm(&id, &pci_address) {
                Ok(outcome) => {
                    self.follow(outcome).await?;
                    let _ = reply.send(Ok(()));
                }
                Err(_) => drop(reply.send(Err(self.not_found(id)))),
            },
            Message::Hello(boot, reply) => {
                self.boot = Some(boot.clone());
                self.decide(|machine, context| machine.hello(&boot, context)).await?;
                let _ = reply.send(Ok(()));
            }
            Message::Report(free, reply) => {
                self.decide(|machine, context| machine.reported(&free, context)).await?;
                let _ = reply.send(Ok(()));
            }
            Message::Check(id, reply) => self.watch(Watcher::Check(id, reply)),
            Message::Reconcile(reply) => self.watch(Watcher::Reconcile(reply)),
            Message::Snapshot(reply) => drop(reply.send(Ok(self.snapshot()))),
            Message::Stop(_) => unreachable!("the loop takes it"),
        }
        Ok(())
    }

    async fn attach(&mut self, request: AttachRequest, reply: Reply<Granted>) -> Result<(), LedgerError> {
        let name = request.network.clone().unwrap_or_else(|| self.machine.default_network().clone());
        let Some(network) = self.shared.network(&name) else {
            let _ = reply.send(Err(self.shared.unknown_network(&name)));
            return Ok(());
        };
        let mtu = network.mtu;
        match self.machine.admits(&request.id, &request.request, &name) {
            Err(refusal) => {
                let evicting = matches!(refusal, AttachRefusal::NoCapacity { evicting: true, .. });
                let _ = reply.send(Err(RequestError::Refused { vm: self.vm.clone(), refusal }));
                if evicting {
                    self.decide(VmNics::evict).await?;
                }
            }
            Ok(Admission::Repeated) => {
                let ticket = self.ticket(Waiting::Attach(reply));
                self.decide(|machine, _| machine.attach_again(ticket, &request.id)).await?;
            }
            Ok(Admission::New) => match self.shared.take(&self.vm, &name, &request.wish) {
                Err(refusal) => drop(reply.send(Err(refusal))),
                Ok(purpose) => {
                    let order = AttachOrder { attachment: attachment(request), network: name, mtu, purpose };
                    let ticket = self.ticket(Waiting::Attach(reply));
                    self.decide(|machine, context| machine.attach(ticket, order, context)).await?;
                }
            },
        }
        Ok(())
    }

    async fn stepped(&mut self, nic: NicId, result: Result<(), StepFailure>) -> Result<(), LedgerError> {
        if let Err(failure) = &result {
            warn!(vm = %self.vm, %nic, "{failure}");
        }
        self.decide(|machine, context| machine.step_ended(nic, result, context)).await
    }

    async fn heard(&mut self, event: Heard) -> Result<(), LedgerError> {
        debug!(vm = %self.vm, ?event, "hypervisor event");
        match event {
            Heard::Reset => {
                self.decide(|machine, _| machine.happened(VmEvent::Reset)).await?;
            }
            Heard::NicGone(nic) => {
                self.decide(|machine, _| machine.happened(VmEvent::NicGone(nic))).await?;
            }
            Heard::Up => info!(vm = %self.vm, "hypervisor is up"),
            Heard::Down => warn!(vm = %self.vm, "hypervisor is gone"),
        }
        self.look();
        Ok(())
    }

    async fn seen(&mut self, look: Result<Look, StepFailure>) -> Result<(), LedgerError> {
        let watching = std::mem::take(&mut self.watched);
        match look {
            Err(failure) => {
                warn!(vm = %self.vm, "could not look at the VM's NICs: {failure}");
                for watcher in watching {
                    let error = RequestError::Observe { vm: self.vm.clone(), why: failure.to_string() };
                    watcher.answer(Err(error));
                }
            }
            Ok(look) => {
                self.shared.reserve(look.nics());
                let world = look.world(|nic| self.bridge_of(nic));
                let (checks, others): (Vec<_>, Vec<_>) =
                    watching.into_iter().partition(|watcher| matches!(watcher, Watcher::Check(..)));
                for watcher in checks {
                    let Watcher::Check(id, reply) = watcher else { continue };
                    let faults = self.machine.faults(&id, &world).ok_or_else(|| self.not_found(id));
                    let _ = reply.send(faults);
                }
                let mut findings = Vec::new();
                self.decide(|machine, context| {
                    let mut outcome = Outcome::default();
                    findings = machine.observed(&world, context, &mut outcome);
                    outcome
                })
                .await?;
                for finding in &findings {
                    warn!(vm = %self.vm, "{finding}");
                }
                for watcher in others {
                    watcher.answer(Ok(findings.clone()));
                }
            }
        }
        if std::mem::take(&mut self.look_again) {
            self.look();
        }
        Ok(())
    }

    /// Where a NIC's host end belongs; `None` when its network is configured no more.
    fn bridge_of(&self, nic: NicId) -> Option<&LinkName> {
        let network = &self.machine.nic(nic)?.record.network;
        self.shared.network(network).map(|network| &network.bridge)
    }

    /// Starts a look, unless one is under way.
    fn look(&mut self) {
        if self.looks.is_empty() {
            self.watched.append(&mut self.watching);
            let (executor, as_of) = (Arc::clone(&self.executor), self.machine.generation());
            self.looks.spawn(async move { executor.observe(as_of).await });
        } else {
            self.look_again = true;
        }
    }

    fn watch(&mut self, watcher: Watcher) {
        if self.watching.len() >= WAITING_REQUESTS {
            return watcher.answer(Err(RequestError::Busy { vm: self.vm.clone() }));
        }
        self.watching.push(watcher);
        self.look();
    }

    async fn decide(
        &mut self,
        decide: impl FnOnce(&mut VmNics, &mut Context<'_>) -> Outcome,
    ) -> Result<(), LedgerError> {
        let outcome = self.outcome(decide);
        self.follow(outcome).await
    }

    fn outcome(&mut self, decide: impl FnOnce(&mut VmNics, &mut Context<'_>) -> Outcome) -> Outcome {
        let shared = Arc::clone(&self.shared);
        let now_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        decide(&mut self.machine, &mut Context { now_ms, fresh_nic: &mut || shared.fresh_nic() })
    }

    /// Durable first; then the steps; then the answers.
    async fn follow(&mut self, outcome: Outcome) -> Result<(), LedgerError> {
        self.shared.commit(&self.vm, outcome.changes).await?;
        for order in outcome.steps {
            debug!(vm = %self.vm, nic = %order.record.nic, step = %order.step, "step");
            let executor = Arc::clone(&self.executor);
            self.steps.spawn(async move { (order.record.nic, executor.carry_out(&order).await) });
        }
        for (ticket, answer) in outcome.answers {
            self.answer(ticket, answer);
        }
        Ok(())
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        // Whoever asked may have hung up; that is theirs to mend by asking again.
        match (self.waiting.remove(&ticket), answer) {
            (Some(Waiting::Attach(reply)), Answer::Granted(granted)) => drop(reply.send(Ok(*granted))),
            (Some(Waiting::Detach(reply)), Answer::Detached { existed }) => drop(reply.send(Ok(existed))),
            (Some(Waiting::Attach(reply)), Answer::Refused(refusal)) => {
                let _ = reply.send(Err(RequestError::Refused { vm: self.vm.clone(), refusal }));
            }
            (Some(Waiting::Detach(reply)), Answer::Refused(refusal)) => {
                let _ = reply.send(Err(RequestError::Refused { vm: self.vm.clone(), refusal }));
            }
            (waiting, answer) => debug_assert!(waiting.is_none(), "{answer:?} answers another question"),
        }
    }

    fn ticket(&mut self, waiting: Waiting) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.waiting.insert(ticket, waiting);
        ticket
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.machine.state(),
            boot: self.boot.clone(),
            capacity: self.machine.capacity(),
            nics: self.machine.nics().map(|nic| (nic.record.clone(), nic.phase())).collect(),
        }
    }

    fn not_found(&self, attachment: AttachmentId) -> RequestError {
        RequestError::NotFound { vm: self.vm.clone(), attachment }
    }
}

impl Watcher {
    fn answer(self, result: Result<Vec<String>, RequestError>) {
        let (Self::Check(_, reply) | Self::Reconcile(reply)) = self;
        let _ = reply.send(result);
    }
}

fn attachment(request: AttachRequest) -> Attachment {
    Attachment {
        id: request.id,
        request: request.request,
        egress: request.egress,
        ingress: request.ingress,
        sandbox: request.sandbox,
        pod: request.pod,
        confirmed: false,
        pci_address: String::new(),
    }
}

/// A step that panicked is a bug; going on would leave its NIC "running" for ever.
fn finished<T>(result: Result<T, tokio::task::JoinError>) -> T {
    result.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state: VmState = self.machine.state();
        f.debug_struct("Task").field("vm", &self.vm).field("state", &state).finish_non_exhaustive()
    }
}
