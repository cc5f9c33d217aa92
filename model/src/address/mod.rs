//! Who holds which address: one [`Claims`] per network, shared by all VMs of a host.
//!
//! Nothing here is durable. The ledger is: it holds the addresses of every NIC and those that cool down, and
//! [`Claims`] is rebuilt from it at start.

mod pool;
mod requested;
mod resting;

pub use pool::{Pool, PoolUse};
pub use requested::{RequestedAddress, TooManyAddresses, check_requested};

use crate::{
    identity::{Mac, NetworkName, VmName},
    network::Network,
};
use ipnet::IpNet;
use resting::Resting;
use std::{collections::BTreeSet, net::IpAddr};

/// The addresses of one network that are taken, and those that rest.
#[derive(Debug)]
pub struct Claims {
    network: NetworkName,
    cool_down_s: u64,
    pools: Vec<Pool>,
    macs: BTreeSet<Mac>,
    resting: Resting,
}

/// What a pod asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRequest {
    /// Static addresses; a family that is not named gets any free one.
    pub addresses: Vec<IpAddr>,
    /// The pod's own MAC address, if it is not to be the NIC's.
    pub mac: Option<Mac>,
}

impl Claims {
    /// Nothing taken yet.
    pub fn new(network: &Network) -> Self {
        Self {
            network: network.name.clone(),
            cool_down_s: network.cool_down_s,
            pools: network.subnets.iter().map(|subnet| Pool::new(subnet, network.gateway(subnet))).collect(),
            macs: BTreeSet::new(),
            resting: Resting::default(),
        }
    }

    /// Takes one address of each subnet for a pod of `vm`, or none at all. `now_s` counts seconds of any fixed epoch.
    ///
    /// # Errors
    /// When a static address is outside every subnet, reserved, taken or cooling; when a subnet has none left; when the
    /// MAC address is taken; when more addresses rest after the VM's earlier pods than are free for all.
    pub fn take(
        &mut self,
        vm: &VmName,
        request: &AddressRequest,
        now_s: u64,
    ) -> Result<Vec<IpNet>, ClaimError> {
        if let Some(mac) = request.mac.filter(|mac| self.macs.contains(mac)) {
            return Err(ClaimError::MacInUse { network: self.network.clone(), mac });
        }
        let mut wanted: Vec<Option<IpAddr>> = vec![None; self.pools.len()];
        for &address in &request.addresses {
            let place = self.pools.iter().position(|pool| pool.prefix().contains(&address));
            let slot = place.map(|at| &mut wanted[at]).ok_or_else(|| self.outside(address))?;
            if slot.replace(address).is_some() {
                return Err(ClaimError::TwoOfOneSubnet { network: self.network.clone(), address });
            }
        }
        let mut taken = Vec::with_capacity(self.pools.len());
        for (pool, wanted) in self.pools.iter_mut().zip(wanted) {
            match pool.take(wanted, now_s) {
                Ok(address) => taken.push(address),
                Err(refusal) => {
                    let network = self.network.clone();
                    self.put_back(&taken);
                    return Err(refusal.named(network));
                }
            }
        }
        let (resting, next_s) = self.resting.of(vm, now_s);
        if resting > self.free() {
            self.put_back(&taken);
            let free_in_s = next_s.map_or(0, |next_s| next_s - now_s);
            return Err(ClaimError::Restless { network: self.network.clone(), resting, free_in_s });
        }
        self.macs.extend(request.mac);
        Ok(taken)
    }

    /// Marks as taken what the ledger says a NIC holds. Addresses of subnets that the configuration no longer has are
    /// passed over: their pods keep them, and nobody else can get them.
    pub fn restore(&mut self, addresses: &[IpAddr], mac: Option<Mac>) {
        for &address in addresses {
            if let Some(pool) = self.pools.iter_mut().find(|pool| pool.prefix().contains(&address)) {
                pool.restore(address);
            }
        }
        self.macs.extend(mac);
    }

    /// Lets an address rest until `until_s`, as the ledger says.
    pub fn restore_cooling(&mut self, address: IpAddr, until_s: u64) {
        if let Some(pool) = self.pools.iter_mut().find(|pool| pool.prefix().contains(&address)) {
            pool.cool(address, until_s);
        }
    }

    /// Gives the addresses of a pod of `vm` back; they rest for the network's cool-down. Returns until when.
    pub fn release(&mut self, vm: &VmName, addresses: &[IpAddr], mac: Option<Mac>, now_s: u64) -> u64 {
        let until_s = now_s.saturating_add(self.cool_down_s);
        if !addresses.is_empty() {
            self.resting.add(vm, until_s);
        }
        for &address in addresses {
            self.restore_cooling(address, until_s);
        }
        if let Some(mac) = mac {
            self.macs.remove(&mac);
        }
        until_s
    }

    /// Gives back what was never used: no cool-down.
    pub fn cancel(&mut self, addresses: &[IpNet], mac: Option<Mac>) {
        self.put_back(addresses);
        if let Some(mac) = mac {
            self.macs.remove(&mac);
        }
    }

    /// Addresses that have rested enough, now free: the ledger can forget them.
    pub fn warm_up(&mut self, now_s: u64) -> Vec<IpAddr> {
        self.pools.iter_mut().flat_map(|pool| pool.warm_up(now_s)).collect()
    }

    /// How long a released address rests, in seconds.
    pub fn cool_down_s(&self) -> u64 {
        self.cool_down_s
    }

    /// The subnets, for status and routes.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// Free addresses of the scarcest subnet; `u64::MAX` for a network without subnets.
    pub fn free(&self) -> u64 {
        self.pools.iter().map(|pool| pool.count().free).min().unwrap_or(u64::MAX)
    }

    fn put_back(&mut self, taken: &[IpNet]) {
        for net in taken {
            if let Some(pool) = self.pools.iter_mut().find(|pool| pool.prefix().contains(&net.addr())) {
                pool.put_back(net.addr());
            }
        }
    }

    fn outside(&self, address: IpAddr) -> ClaimError {
        let subnets = self.pools.iter().map(|pool| pool.prefix().to_string()).collect::<Vec<_>>().join(", ");
        ClaimError::Outside { network: self.network.clone(), address, subnets }
    }
}

/// Why no address was given.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the objects named in each message")]
pub enum ClaimError {
    /// A subnet is used up.
    #[error("network {network}: no free address in {prefix}; {cooling} cool down after use{}", next_in(*next_free_in_s))]
    Exhausted { network: NetworkName, prefix: IpNet, cooling: u64, next_free_in_s: Option<u64> },
    /// A static address is another pod's.
    #[error("network {network}: {address} is in use by another pod")]
    AddressInUse { network: NetworkName, address: IpAddr },
    /// A static address was another pod's a moment ago.
    #[error("network {network}: {address} cools down after use, and is free in {free_in_s} s")]
    Cooling { network: NetworkName, address: IpAddr, free_in_s: u64 },
    /// A VM's pods come and go faster than addresses come round.
    #[error(
        "network {network}: {resting} addresses cool down after pods of this VM, more than are free for all; the next is free in {free_in_s} s"
    )]
    Restless { network: NetworkName, resting: u64, free_in_s: u64 },
    /// A static address that pods never get.
    #[error("network {network}: {address} is the gateway's, excluded, or outside the range given to pods")]
    Reserved { network: NetworkName, address: IpAddr },
    /// A static address of no subnet.
    #[error("network {network}: {address} lies in none of its subnets ({subnets})")]
    Outside { network: NetworkName, address: IpAddr, subnets: String },
    /// Two static addresses of one subnet.
    #[error("network {network}: {address} is the second address asked of its subnet; ask for one of each")]
    TwoOfOneSubnet { network: NetworkName, address: IpAddr },
    /// The MAC address is another pod's.
    #[error("network {network}: MAC address {mac} is in use by another pod")]
    MacInUse { network: NetworkName, mac: Mac },
}

fn next_in(seconds: Option<u64>) -> String {
    seconds.map(|s| format!(", the next is free in {s} s")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
