//! The wheel: all that a VM's task is given turns it, and each step that it starts turns it once more.
//!
//! ```text
//!   request -------+
//!   hypervisor ----+
//!   look ----------+--> decide ---> commit ---> start steps ---> answer
//!   tick ----------+    (machine)   (ledger)    (executor)       (waiting)
//!                  |                                |
//!                  +---------- step_ended <---------+
//! ```
//!
//! So an attach goes round five times: its request is decided, written down, and the making of its host end begun; the end
//! of that step is decided, and the guard begun; so on over bridge and plug, whose end decides the answer. After a crash in
//! between, the first look is the input that goes on from there.

use super::{executor::Executor, pools::Pools, waiting::Waiting};
use crate::ledger::LedgerError;
use nestless_model::{
    attachment::{Answer, Change, Context, Outcome, StepFailure, StepOrder, Ticket, VmNics},
    identity::{BootId, LinkName, NicId, VmName},
};
use std::sync::Arc;
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};
use tracing::{debug, warn};

/// What decides, and what carries out for it.
pub(super) struct Wheel {
    pub(super) vm: VmName,
    /// What is decided, and the memory that it is decided from.
    pub(super) machine: VmNics,
    /// Of the guest, if an agent ever said hello.
    pub(super) boot: Option<BootId>,
    pub(super) executor: Arc<Executor>,
    pub(super) pools: Arc<Pools>,
    pub(super) waiting: Waiting,
    steps: JoinSet<EndedStep>,
    born: Instant,
}

/// Of which NIC, and how it ended.
pub(super) type EndedStep = (NicId, Result<(), StepFailure>);

impl Wheel {
    pub(super) fn new(
        vm: VmName,
        machine: VmNics,
        boot: Option<BootId>,
        executor: Arc<Executor>,
        pools: Arc<Pools>,
    ) -> Self {
        let (waiting, steps, born) = (Waiting::default(), JoinSet::new(), Instant::now());
        Self { vm, machine, boot, executor, pools, waiting, steps, born }
    }

    /// Has the machine decide on an input, and sees to what follows.
    pub(super) async fn decide(
        &mut self,
        input: impl FnOnce(&mut VmNics, &mut Context<'_>) -> Outcome,
    ) -> Result<(), LedgerError> {
        let outcome = self.outcome(input);
        self.enact(outcome).await
    }

    /// Sees to what was decided: durable first; then the steps; then the answers.
    pub(super) async fn enact(&mut self, outcome: Outcome) -> Result<(), LedgerError> {
        self.commit(outcome.changes).await?;
        self.start(outcome.steps);
        self.answer(outcome.answers);
        Ok(())
    }

    fn outcome(&mut self, input: impl FnOnce(&mut VmNics, &mut Context<'_>) -> Outcome) -> Outcome {
        let now_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        let pools = &self.pools;
        input(&mut self.machine, &mut Context { now_ms, fresh_nic: &mut || pools.fresh_nic() })
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), LedgerError> {
        self.pools.commit(&self.vm, changes).await
    }

    fn start(&mut self, steps: Vec<StepOrder>) {
        for order in steps {
            debug!(vm = %self.vm, nic = %order.record.nic, step = %order.step, "step");
            let executor = Arc::clone(&self.executor);
            self.steps.spawn(async move { (order.record.nic, executor.carry_out(&order).await) });
        }
    }

    fn answer(&mut self, answers: Vec<(Ticket, Answer)>) {
        for (ticket, answer) in answers {
            self.waiting.answer(&self.vm, ticket, answer);
        }
    }

    /// Waits for the end of a step; `None` when none is under way. May be cancelled.
    pub(super) async fn next_ended(&mut self) -> Option<EndedStep> {
        self.steps.join_next().await.map(finished)
    }

    /// The end of a step is the next input.
    pub(super) async fn step_ended(&mut self, (nic, result): EndedStep) -> Result<(), LedgerError> {
        if let Err(failure) = &result {
            warn!(vm = %self.vm, %nic, "{failure}");
        }
        self.decide(|machine, context| machine.step_ended(nic, result, context)).await
    }

    /// Lets running steps end, and writes down how; starts no others.
    pub(super) async fn stop(&mut self) -> Result<(), LedgerError> {
        while let Some((nic, result)) = self.next_ended().await {
            let outcome = self.outcome(|machine, context| machine.step_ended(nic, result, context));
            self.commit(outcome.changes).await?;
        }
        Ok(())
    }

    /// Where a NIC's host end belongs; `None` when its network is configured no more.
    pub(super) fn bridge_of(&self, nic: NicId) -> Option<&LinkName> {
        let network = &self.machine.nic(nic)?.record.network;
        self.pools.network(network).map(|network| &network.bridge)
    }
}

/// What panicked is a bug; going on would leave a NIC "running" for ever.
pub(super) fn finished<T>(result: Result<T, JoinError>) -> T {
    result.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
