//! What must be durable before anything else follows from a decision.

use super::{
    purpose::Purpose,
    record::{NicRecord, Reservation},
};
use crate::identity::{BootId, NetworkName, NicId};
use std::net::IpAddr;

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
    /// Keep an address for the VM.
    Reserve(Reservation),
    /// Keep it no more.
    Unreserve {
        /// Of which network.
        network: NetworkName,
        /// Which.
        address: IpAddr,
    },
    /// The guest's boot from now on.
    Boot(BootId),
}

impl Change {
    /// What follows when an address is kept no more by a VM that has these NICs: it rests, unless one of them has it.
    pub fn giving_back<'a>(kept: &Reservation, mut nics: impl Iterator<Item = &'a NicRecord>) -> Vec<Self> {
        let (network, address) = (kept.network.clone(), kept.address.addr());
        let mut changes = vec![Self::Unreserve { network: network.clone(), address }];
        if !nics.any(|record| kept.is_held_by(record)) {
            let purpose = Purpose::Pod { addresses: vec![kept.address], mac: None };
            changes.push(Self::Release { network, purpose });
        }
        changes
    }
}
