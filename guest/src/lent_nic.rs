//! A NIC in the VM's own namespace, lent to somebody who moves, names and addresses it himself, as dockerd does.
//!
//! ```text
//! parking --move+rename--> the VM's own namespace, MAC, MTU, down --(whoever has it)--> a container, and back here
//!    ^________________________|________________________________________________________________________|
//! ```
//! Back in parking it is made anew ([`crate::parking`]), as one that a pod had.
//! It is known by its plug-time address alone. One that is in a container when it is taken back comes by itself when the
//! container ends: the kernel puts it into the VM's own namespace, and there it is parked.

use crate::{
    identify::{self, hardware},
    parking::{MoveError, Parking, TakeError},
    pod_nic::{Device, device},
};
use nestless_model::identity::{InterfaceName, Mac, Mtu};
use nestless_support::netlink::{Link, Netlink, NetlinkError};

/// What a NIC is to be while it is lent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LentNic {
    /// Plug-time address, to find it by.
    pub nic_mac: Mac,
    /// Its name in the VM's own namespace.
    pub name: InterfaceName,
    /// The address it is to have.
    pub mac: Mac,
    /// Largest packet.
    pub mtu: Mtu,
}

/// A NIC could not be lent, or taken back.
#[derive(Debug, thiserror::Error)]
pub enum LentNicError {
    /// The name is taken. Nothing was changed.
    #[error("the VM has a link called {name} already")]
    NameTaken {
        /// The name.
        name: InterfaceName,
    },
    /// It does not wait in the parking namespace. Nothing was changed.
    #[error("the NIC with MAC address {nic} does not wait in the parking namespace")]
    Absent {
        /// Plug-time address.
        nic: Mac,
    },
    /// It cannot be taken from the parking namespace. Nothing was changed.
    #[error("take the NIC with MAC address {nic} from the parking namespace")]
    Take {
        /// Plug-time address.
        nic: Mac,
        /// Why.
        #[source]
        source: TakeError,
    },
    /// The VM's links cannot be seen.
    #[error("look at the VM's links")]
    Look {
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// The kernel refused a step. The NIC was taken back.
    #[error("lend {name}")]
    Lend {
        /// Its name in the VM's own namespace.
        name: InterfaceName,
        /// Which step, and why.
        #[source]
        source: NetlinkError,
    },
    /// It could not be taken back.
    #[error("take the NIC with MAC address {nic} back")]
    TakeBack {
        /// Plug-time address.
        nic: Mac,
        /// Why.
        #[source]
        source: MoveError,
    },
}

/// Moves a waiting NIC into the VM's own namespace, where it stands down and without an address.
///
/// # Errors
/// [`LentNicError::NameTaken`] and [`LentNicError::Absent`] before anything is changed; after others the NIC waits as before.
pub async fn lend(parking: &Parking, nic: &LentNic) -> Result<Device, LentNicError> {
    let look = |source| LentNicError::Look { source };
    let vm = Netlink::inside(parking.vm()).await.map_err(look)?;
    if vm.link_if_any(nic.name.as_str()).await.map_err(look)?.is_some() {
        return Err(LentNicError::NameTaken { name: nic.name.clone() });
    }
    let taken = parking.take(nic.nic_mac).await;
    let taken = taken.map_err(|source| LentNicError::Take { nic: nic.nic_mac, source })?;
    let taken = taken.ok_or(LentNicError::Absent { nic: nic.nic_mac })?;
    // Before it is seen there.
    parking.begin_lending(nic.nic_mac);
    let outcome = bring(parking, &vm, &taken, nic).await;
    if outcome.is_err() {
        parking.give_back(nic.nic_mac);
    }
    if outcome.is_err()
        && let Err(error) = take_back(parking, nic.nic_mac).await
    {
        tracing::warn!(nic = %nic.nic_mac, %error, "a NIC that could not be lent is not parked again yet");
    }
    outcome.map_err(|source| LentNicError::Lend { name: nic.name.clone(), source })?;
    Ok(device(parking.vm(), &nic.name).await)
}

async fn bring(parking: &Parking, vm: &Netlink, taken: &Link, nic: &LentNic) -> Result<(), NetlinkError> {
    parking.netlink().move_to(taken, parking.vm(), Some(nic.name.as_str())).await?;
    let link = vm.link(nic.name.as_str()).await?;
    if link.mac != Some(hardware(nic.mac)) {
        vm.set_mac(&link, hardware(nic.mac)).await?;
    }
    vm.set_mtu(&link, nic.mtu.bytes()).await
}

/// Takes a lent NIC back, whatever became of it. Returns whether it was in the VM's own namespace; where it was not, it is
/// parked as soon as it comes there. May be repeated, and by another process than the one that lent it.
///
/// # Errors
/// When the VM's links cannot be seen, or the kernel does not let go of the NIC.
pub async fn take_back(parking: &Parking, nic: Mac) -> Result<bool, LentNicError> {
    parking.end_lending(nic);
    let look = |source| LentNicError::Look { source };
    let vm = Netlink::inside(parking.vm()).await.map_err(look)?;
    let Some(link) = identify::find(vm.links().await.map_err(look)?, nic) else { return Ok(false) };
    match parking.take_back(&vm, &link, nic).await {
        Ok(()) => Ok(true),
        Err(error) if error.source.is_missing() => Ok(false),
        Err(source) => Err(LentNicError::TakeBack { nic, source }),
    }
}
