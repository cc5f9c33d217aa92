//! Addresses that are reserved before there is a NIC, and what becomes of them.
//!
//! An attach of the same VM that names a reserved address gives it to the NIC, but the reservation stands until it is given
//! back by a request of its own: whoever manages addresses apart from NICs, as Docker does, takes the address first, then makes
//! and unmakes interfaces with it, and says at last that it has no more use for it. So a reserved address does not rest after
//! a detach: the VM's next NIC may have it as soon as the guard of the last one is closed.

use super::{
    change::Change,
    purpose::Wish,
    record::Reservation,
    request::AttachRefusal,
    vm_nics::{Outcome, VmNics},
};
use crate::{
    address::Family,
    identity::{NetworkName, RequestId},
};
use std::net::IpAddr;

impl VmNics {
    /// Whether the VM may reserve one more address: what it has already if it only asks again.
    ///
    /// # Errors
    /// When it would be refused whatever the address.
    pub fn admits_reservation(
        &self,
        request: &RequestId,
        family: Family,
    ) -> Result<Option<&Reservation>, AttachRefusal> {
        if let Some(made) = self.reservations.values().find(|reservation| reservation.request == *request) {
            return Ok(Some(made));
        }
        self.is_ready()?;
        let of_family = |reservation: &&Reservation| Family::of(reservation.address.addr()) == family;
        let reserved = self.reservations.values().filter(of_family).count();
        let limit = self.limits.nic_limit;
        if reserved >= limit as usize {
            return Err(AttachRefusal::ReservedEnough { limit, family });
        }
        Ok(None)
    }

    /// Keeps an address that was taken for it. Must have been [admitted](Self::admits_reservation).
    pub fn reserve(&mut self, reservation: Reservation) -> Outcome {
        let key = (reservation.network.clone(), reservation.address.addr());
        self.reservations.insert(key, reservation.clone());
        Outcome { changes: vec![Change::Reserve(reservation)], ..Outcome::default() }
    }

    /// Keeps an address no more; `None` if it was not kept. It rests now, or after the NIC that has it.
    pub fn unreserve(&mut self, network: &NetworkName, address: IpAddr) -> Option<Outcome> {
        let reservation = self.reservations.remove(&(network.clone(), address))?;
        let changes = Change::giving_back(&reservation, self.nics.values().map(|nic| &nic.record));
        Some(Outcome { changes, ..Outcome::default() })
    }

    /// The guest that kept them is no more.
    pub(super) fn unreserve_all(&mut self, out: &mut Outcome) {
        for (_, reservation) in std::mem::take(&mut self.reservations) {
            let nics = self.nics.values().map(|nic| &nic.record);
            out.changes.extend(Change::giving_back(&reservation, nics));
        }
    }

    /// A reserved address has one NIC at a time.
    pub(super) fn is_free_to_attach(&self, network: &NetworkName, wish: &Wish) -> Result<(), AttachRefusal> {
        let Wish::Pod(asked) = wish else { return Ok(()) };
        for &address in &asked.addresses {
            let reservation = self.reservations.get(&(network.clone(), address));
            if reservation.is_some_and(|own| self.nics.values().any(|nic| own.is_held_by(&nic.record))) {
                return Err(AttachRefusal::AddressInUse { address });
            }
        }
        Ok(())
    }
}
