//! From the host's offer to a NIC in use.

use super::{
    agent::Agent,
    attachments::{Phase, Record},
    error::{AttachError, PortsError},
    request::AttachRequest,
};
use crate::host_client::{Offer, Purpose};
use nestless_guest::{
    home::Home,
    lent_nic::{self, LentNic},
    loopback_endpoint::{self, LoopbackEndpoint},
    pod_nic::{self, Configured},
    port_mapping::{self, Mapped},
};

impl Agent {
    /// The record says at every moment what would have to be taken back.
    pub(super) async fn set_up(
        &self,
        request: &AttachRequest,
        offer: &Offer,
        record: &mut Record,
    ) -> Result<Configured, AttachError> {
        record.nic = Some(offer.nic_mac);
        record.mapped = !request.port_mappings.is_empty();
        record.addresses = offer.addresses().iter().map(|address| address.addr()).collect();
        self.keep(record)?;
        self.parking.wait_for(offer.nic_mac, self.deadlines.nic).await?;
        let configured = self.bring_home(request, offer).await?;
        if let Some(mapped) = record.mapped() {
            self.note_forwarding();
            map_ports(mapped).await?;
        }
        record.number = self.number(&request.home).await;
        record.phase = Phase::InUse;
        self.keep(record)?;
        Ok(configured)
    }

    /// Mapping ports switches it on; `nestless uninstall --guest` puts it back.
    fn note_forwarding(&self) {
        if let Err(error) = self.former_settings.note("net/ipv4/ip_forward") {
            tracing::warn!(%error, "it is not kept what net.ipv4.ip_forward was");
        }
    }

    async fn bring_home(&self, request: &AttachRequest, offer: &Offer) -> Result<Configured, AttachError> {
        let interface = &request.attachment.interface;
        let device = match (&request.home, &offer.purpose) {
            (Home::Sandbox(sandbox), Purpose::Pod(pod)) => {
                let nic = offer.pod_nic(pod, interface);
                return Ok(pod_nic::configure(&self.parking, sandbox, &nic).await?);
            }
            (Home::Sandbox(sandbox), Purpose::Endpoint(ports)) => {
                let endpoint = LoopbackEndpoint { nic_mac: offer.nic_mac, mtu: offer.mtu, ports: *ports };
                loopback_endpoint::join(&self.parking, sandbox, &endpoint).await?;
                pod_nic::device(sandbox, interface).await
            }
            // Whoever borrows it does the rest, whatever it is for.
            (Home::Vm(name), _) => {
                let name = name.clone();
                let nic = LentNic { nic_mac: offer.nic_mac, name, mac: offer.mac(), mtu: offer.mtu };
                lent_nic::lend(&self.parking, &nic).await?
            }
        };
        Ok(Configured { device, routes: Vec::new() })
    }
}

pub(super) async fn map_ports(mapped: Mapped) -> Result<(), PortsError> {
    Ok(tokio::task::spawn_blocking(move || port_mapping::set(&mapped)).await??)
}
