//! The task itself: waits for whatever happens next, and gives it to the [wheel](super::wheel).

use super::{
    executor::Executor,
    host_ends::HostEnds,
    looks::{Looks, Watcher},
    message::{Message, VmHandle, WAITING_REQUESTS},
    pools::Pools,
    wheel::Wheel,
};
use crate::{
    hypervisor::{Connected, HypervisorEvent, VmHypervisor},
    ledger::LedgerError,
};
use nestless_model::{
    attachment::{Limits, Remembered, VmEvent, VmNics},
    identity::VmName,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::MissedTickBehavior,
};
use tracing::{debug, info, warn};

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
    VmConfig { name, limits, queues }: VmConfig,
    Connected { hypervisor, events }: Connected<Box<dyn VmHypervisor>>,
    host_ends: Arc<dyn HostEnds>,
    pools: Arc<Pools>,
    remembered: Remembered,
) -> (VmHandle, oneshot::Receiver<()>, JoinHandle<Result<(), LedgerError>>) {
    let (sender, messages) = mpsc::channel(WAITING_REQUESTS);
    let handle = VmHandle::new(name.clone(), hypervisor.kind(), sender);
    let (looked, first_look) = oneshot::channel();
    let executor = Arc::new(Executor { hypervisor, host_ends, queues });
    let boot = remembered.boot.clone();
    let machine = VmNics::new(name.clone(), limits, remembered);
    let wheel = Wheel::new(name, machine, boot, executor, pools);
    let task = Task { wheel, looks: Looks::default() };
    (handle, first_look, tokio::spawn(task.run(messages, events, looked)))
}

struct Task {
    wheel: Wheel,
    looks: Looks,
}

impl Task {
    async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut events: mpsc::Receiver<HypervisorEvent>,
        looked: oneshot::Sender<()>,
    ) -> Result<(), LedgerError> {
        // Nobody is served from memory alone: first look.
        let look = self.wheel.executor.observe(self.wheel.machine.generation()).await;
        self.looks.look_ended(look, &mut self.wheel).await?;
        // The receiver is gone only if the daemon is stopping already.
        let _ = looked.send(());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until_look = TICKS_PER_LOOK;
        loop {
            tokio::select! {
                biased;
                Some(step) = self.wheel.next_ended() => self.wheel.step_ended(step).await?,
                Some(look) = self.looks.next_ended() => {
                    self.looks.look_ended(look, &mut self.wheel).await?;
                }
                Some(event) = events.recv() => self.hypervisor_told(event).await?,
                message = messages.recv() => match message {
                    Some(Message::Stop(reply)) => {
                        self.wheel.stop().await?;
                        let _ = reply.send(Ok(()));
                        return Ok(());
                    }
                    Some(message) => self.serve(message).await?,
                    None => return self.wheel.stop().await,
                },
                _ = ticks.tick() => {
                    self.wheel.decide(VmNics::tick).await?;
                    until_look -= 1;
                    if until_look == 0 {
                        until_look = TICKS_PER_LOOK;
                        self.looks.start(&self.wheel);
                    }
                }
            }
        }
    }

    async fn serve(&mut self, message: Message) -> Result<(), LedgerError> {
        let Self { wheel, looks } = self;
        match message {
            Message::Attach(request, reply) => wheel.attach(*request, reply).await?,
            Message::Detach(id, reply) => wheel.detach(id, reply).await?,
            Message::Reserve(request, reply) => wheel.reserve(request, reply).await?,
            Message::Unreserve(network, address, reply) => wheel.unreserve(network, address, reply).await?,
            Message::Confirm(id, pci_address, reply) => wheel.confirm(id, &pci_address, reply).await?,
            Message::Hello(boot, reply) => wheel.hello(boot, reply).await?,
            Message::Report(told, reply) => wheel.report(told, reply).await?,
            Message::Check(id, reply) => looks.watch(Watcher::Check(id, reply), wheel),
            Message::Reconcile(reply) => looks.watch(Watcher::Reconcile(reply), wheel),
            Message::Capacity(reply) => drop(reply.send(Ok(wheel.machine.capacity()))),
            Message::Snapshot(reply) => drop(reply.send(Ok(wheel.snapshot()))),
            Message::Stop(_) => unreachable!("the loop takes it"),
        }
        Ok(())
    }

    async fn hypervisor_told(&mut self, event: HypervisorEvent) -> Result<(), LedgerError> {
        debug!(vm = %self.wheel.vm, ?event, "hypervisor event");
        match event {
            HypervisorEvent::Reset => {
                self.wheel.decide(|machine, _| machine.happened(VmEvent::Reset)).await?;
            }
            HypervisorEvent::NicGone(nic) => {
                self.wheel.decide(|machine, _| machine.happened(VmEvent::NicGone(nic))).await?;
            }
            HypervisorEvent::Up => info!(vm = %self.wheel.vm, "hypervisor is up"),
            HypervisorEvent::Down => warn!(vm = %self.wheel.vm, "hypervisor is gone"),
        }
        self.looks.start(&self.wheel);
        Ok(())
    }
}
