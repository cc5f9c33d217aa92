//! What is asked of a VM's task, as inputs of the wheel.

use super::{
    message::{AttachRequest, Reply, RequestError, Snapshot},
    waiting::Waiter,
    wheel::Wheel,
};
use crate::ledger::LedgerError;
use nestless_model::{
    attachment::{Admission, AttachOrder, Attachment, Granted, Held, Refusal, VmNics},
    identity::{AttachmentId, BootId, Mac, NetworkName},
};
use std::collections::BTreeSet;

impl Wheel {
    /// Answered when the machine says so, which is some turns later.
    pub(super) async fn attach(
        &mut self,
        request: AttachRequest,
        reply: Reply<Granted>,
    ) -> Result<(), LedgerError> {
        let name = request.network.clone().unwrap_or_else(|| self.machine.default_network().clone());
        let Some(network) = self.pools.network(&name) else {
            let _ = reply.send(Err(self.unknown_network(&name)));
            return Ok(());
        };
        let mtu = network.mtu;
        match self.machine.admits(&request.id, &request.request, &name) {
            Err(refusal) => {
                let evicting = matches!(refusal, Refusal::NoCapacity { evicting: true, .. });
                let _ = reply.send(Err(RequestError::Refused { vm: self.vm.clone(), refusal }));
                if evicting {
                    self.decide(VmNics::evict).await?;
                }
            }
            Ok(Admission::Repeated) => {
                let ticket = self.waiting.ticket(Waiter::Attach(reply));
                self.decide(|machine, _| machine.attach_again(ticket, &request.id)).await?;
            }
            Ok(Admission::New) => match self.take(&request, &name) {
                Err(refusal) => drop(reply.send(Err(refusal))),
                Ok(held) => {
                    let order = AttachOrder { attachment: attachment(request), network: name, mtu, held };
                    let ticket = self.waiting.ticket(Waiter::Attach(reply));
                    self.decide(|machine, context| machine.attach(ticket, order, context)).await?;
                }
            },
        }
        Ok(())
    }

    /// Answered when the machine says so.
    pub(super) async fn detach(&mut self, id: AttachmentId, reply: Reply<bool>) -> Result<(), LedgerError> {
        let ticket = self.waiting.ticket(Waiter::Detach(reply));
        self.decide(|machine, context| machine.detach(ticket, &id, context)).await
    }

    pub(super) async fn confirm(
        &mut self,
        id: AttachmentId,
        pci_address: &str,
        reply: Reply<()>,
    ) -> Result<(), LedgerError> {
        match self.machine.confirm(&id, pci_address) {
            Ok(outcome) => {
                self.enact(outcome).await?;
                let _ = reply.send(Ok(()));
            }
            Err(_) => drop(reply.send(Err(self.not_found(id)))),
        }
        Ok(())
    }

    pub(super) async fn hello(&mut self, boot: BootId, reply: Reply<()>) -> Result<(), LedgerError> {
        self.boot = Some(boot.clone());
        self.decide(|machine, context| machine.hello(&boot, context)).await?;
        let _ = reply.send(Ok(()));
        Ok(())
    }

    pub(super) async fn report(&mut self, free: BTreeSet<Mac>, reply: Reply<()>) -> Result<(), LedgerError> {
        self.decide(|machine, context| machine.reported(&free, context)).await?;
        let _ = reply.send(Ok(()));
        Ok(())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.machine.state(),
            boot: self.boot.clone(),
            capacity: self.machine.capacity(),
            nics: self.machine.nics().map(|nic| (nic.record.clone(), nic.phase())).collect(),
        }
    }

    pub(super) fn not_found(&self, attachment: AttachmentId) -> RequestError {
        RequestError::NotFound { vm: self.vm.clone(), attachment }
    }

    /// What the pools have to give for it.
    fn take(&self, request: &AttachRequest, network: &NetworkName) -> Result<Held, RequestError> {
        if let Some(wish) = &request.loopback {
            return Ok(self.pools.take_place(&self.vm, wish)?);
        }
        let taken = self.pools.take(&self.vm, network, &request.addresses);
        Ok(taken.ok_or_else(|| self.unknown_network(network))??)
    }

    fn unknown_network(&self, name: &NetworkName) -> RequestError {
        let known: BTreeSet<&str> = self.pools.networks().map(|network| network.name.as_str()).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        RequestError::UnknownNetwork { network: name.to_string(), known }
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
