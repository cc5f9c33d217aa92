//! What is asked of a VM's task, as inputs of the wheel.

use super::{
    message::{AttachRequest, Reply, Reported, RequestError, ReserveRequest, Snapshot},
    waiting::Waiter,
    wheel::Wheel,
};
use crate::ledger::LedgerError;
use nestless_model::{
    address::ClaimError,
    attachment::{
        Admission, AttachOrder, AttachRefusal, Attachment, Granted, Purpose, Reservation, VmNics, Wish,
    },
    identity::{AttachmentId, BootId, NetworkName},
};
use nestless_support::error_chain::in_full;
use std::net::IpAddr;

impl Wheel {
    /// Answered when the machine says so, which is some turns later.
    pub(super) async fn attach(
        &mut self,
        request: AttachRequest,
        reply: Reply<Granted>,
    ) -> Result<(), LedgerError> {
        let name = request.network.clone().unwrap_or_else(|| self.machine.default_network().clone());
        let Some(network) = self.pools.network(&name) else {
            let _ = reply.send(Err(self.pools.unknown_network(&name)));
            return Ok(());
        };
        let mtu = network.mtu;
        match self.machine.admits(&request.id, &request.request, &name, &request.wish) {
            Err(refusal) => {
                let evicting = matches!(refusal, AttachRefusal::NoCapacity { evicting: true, .. });
                let _ = reply.send(Err(RequestError::Refused { vm: self.vm.clone(), refusal }));
                if evicting {
                    self.decide(VmNics::evict).await?;
                }
            }
            Ok(Admission::Repeated) => {
                let ticket = self.waiting.ticket(Waiter::Attach(reply));
                self.decide(|machine, _| machine.attach_again(ticket, &request.id)).await?;
            }
            Ok(Admission::New) => match self.take(&name, &request.wish).await {
                Err(refusal) => drop(reply.send(Err(refusal))),
                Ok(purpose) => {
                    let order = AttachOrder { attachment: attachment(request), network: name, mtu, purpose };
                    let ticket = self.waiting.ticket(Waiter::Attach(reply));
                    self.decide(|machine, context| machine.attach(ticket, order, context)).await?;
                }
            },
        }
        Ok(())
    }

    /// What is wished from the pools, if nothing in the world is against it.
    async fn take(&self, network: &NetworkName, wish: &Wish) -> Result<Purpose, RequestError> {
        let asked = match wish {
            Wish::Pod(asked) => asked.mac.filter(|mac| self.pools.allows(&self.vm, network, *mac).is_ok()),
            Wish::Endpoint(_) => None,
        };
        if let Some(mac) = asked {
            let place = self
                .executor
                .host_ends
                .mac_elsewhere(network, mac)
                .await
                .map_err(|error| RequestError::Observe { vm: self.vm.clone(), why: in_full(&error) })?;
            if let Some(place) = place {
                return Err(ClaimError::MacElsewhere { network: network.clone(), mac, place }.into());
            }
        }
        self.pools.take(&self.vm, network, wish)
    }

    /// Answered when the machine says so.
    pub(super) async fn detach(&mut self, id: AttachmentId, reply: Reply<bool>) -> Result<(), LedgerError> {
        let ticket = self.waiting.ticket(Waiter::Detach(reply));
        self.decide(|machine, context| machine.detach(ticket, &id, context)).await
    }

    /// Answered when it is written down: no step is needed.
    pub(super) async fn reserve(
        &mut self,
        request: ReserveRequest,
        reply: Reply<Reservation>,
    ) -> Result<(), LedgerError> {
        let ReserveRequest { request, network, wish } = request;
        let network = network.unwrap_or_else(|| self.machine.default_network().clone());
        let taken = match self.machine.admits_reservation(&request, wish.family()) {
            Err(refusal) => Err(RequestError::Refused { vm: self.vm.clone(), refusal }),
            Ok(Some(made)) => {
                let _ = reply.send(Ok(made.clone()));
                return Ok(());
            }
            Ok(None) => self.pools.reserve_address(&self.vm, &network, wish),
        };
        match taken {
            Err(refusal) => drop(reply.send(Err(refusal))),
            Ok(address) => {
                let reservation = Reservation { vm: self.vm.clone(), network, address, request };
                self.decide(|machine, _| machine.reserve(reservation.clone())).await?;
                let _ = reply.send(Ok(reservation));
            }
        }
        Ok(())
    }

    pub(super) async fn unreserve(
        &mut self,
        network: Option<NetworkName>,
        address: IpAddr,
        reply: Reply<bool>,
    ) -> Result<(), LedgerError> {
        let network = network.unwrap_or_else(|| self.machine.default_network().clone());
        let outcome = self.machine.unreserve(&network, address);
        let existed = outcome.is_some();
        self.enact(outcome.unwrap_or_default()).await?;
        let _ = reply.send(Ok(existed));
        Ok(())
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

    pub(super) async fn report(&mut self, told: Reported, reply: Reply<()>) -> Result<(), LedgerError> {
        self.decide(|machine, context| machine.reported(&told.free, &told.spent, context)).await?;
        let _ = reply.send(Ok(()));
        Ok(())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.machine.state(),
            trouble: self.executor.hypervisor.trouble(),
            boot: self.boot.clone(),
            capacity: self.machine.capacity(),
            reserved: self.machine.reserved(),
            nics: self.machine.nics().map(|nic| (nic.record.clone(), nic.phase())).collect(),
        }
    }

    pub(super) fn not_found(&self, attachment: AttachmentId) -> RequestError {
        RequestError::NotFound { vm: self.vm.clone(), attachment }
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
