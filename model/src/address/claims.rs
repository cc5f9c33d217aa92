//! One network's addresses: who has which.

use super::{
    error::ClaimError,
    pool::Pool,
    resting::Resting,
    wish::{AddressRequest, Family, ReservationWish},
};
use crate::{
    identity::{Mac, NetworkName, VmName},
    network::Network,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// So many of one VM's addresses rest at most, however many are free, as in any IPv6 subnet: each is a row of the ledger, and of
/// memory.
const MOST_RESTING: u64 = 8192;

/// The addresses of one network that are taken, and those that rest.
#[derive(Debug)]
pub struct Claims {
    network: NetworkName,
    cool_down_s: u64,
    pools: Vec<Pool>,
    macs: BTreeSet<Mac>,
    /// Addresses that VMs keep for NICs of theirs, present or to come. All of them count as taken.
    reserved: BTreeMap<IpAddr, VmName>,
    resting: Resting,
}

impl Claims {
    /// Nothing taken yet.
    pub fn new(network: &Network) -> Self {
        Self {
            network: network.name.clone(),
            cool_down_s: network.cool_down_s,
            pools: network.subnets.iter().map(|subnet| Pool::new(subnet, network.gateway(subnet))).collect(),
            macs: BTreeSet::new(),
            reserved: BTreeMap::new(),
            resting: Resting::default(),
        }
    }

    /// Takes one address of each subnet for a pod of `vm`, or none at all. `now_s` counts seconds of any fixed epoch. Of what
    /// the VM has reserved, a pod gets what it names; whether a NIC has it already is the VM's to know.
    ///
    /// # Errors
    /// When a static address is outside every subnet, not for pods, another VM's, taken or cooling; when a subnet has none
    /// left; when the MAC address is taken; when more addresses rest after the VM's earlier pods than are free for all.
    pub fn take(
        &mut self,
        vm: &VmName,
        request: &AddressRequest,
        now_s: u64,
    ) -> Result<Vec<IpNet>, ClaimError> {
        if let Some(mac) = request.mac.filter(|mac| self.macs.contains(mac)) {
            return Err(ClaimError::MacInUse { network: self.network.clone(), mac });
        }
        let is_useful = |family: Family| request.only.is_none_or(|only| only == family);
        if let Some(useless) = self.first_useless(is_useful, request) {
            return Err(useless);
        }
        let mut wanted: Vec<Option<IpAddr>> = vec![None; self.pools.len()];
        for &address in &request.addresses {
            let of_pool =
                self.pool_of(address).map(|at| &mut wanted[at]).ok_or_else(|| self.outside(address))?;
            if of_pool.replace(address).is_some() {
                return Err(ClaimError::TwoOfOneSubnet { network: self.network.clone(), address });
            }
            if let Some(holder) = self.reserved.get(&address).filter(|holder| *holder != vm) {
                return Err(self.reserved_for(address, holder));
            }
        }
        let (mut given, mut taken) = (Vec::with_capacity(self.pools.len()), Vec::new());
        for (pool, wanted) in self.pools.iter_mut().zip(wanted) {
            if !is_useful(Family::of(pool.prefix().addr())) {
                continue;
            }
            if let Some(own) = wanted.filter(|address| self.reserved.contains_key(address)) {
                given.push(pool.whole(own));
                continue;
            }
            match pool.take(wanted, now_s) {
                Ok(address) => taken.push(address),
                Err(refusal) => {
                    let network = self.network.clone();
                    self.put_back(&taken);
                    return Err(refusal.named(network));
                }
            }
            given.extend(taken.last());
        }
        self.leave_some(vm, &taken, now_s)?;
        self.macs.extend(request.mac);
        Ok(given)
    }

    /// Takes one address for `vm` to keep until it [gives it back](Self::unreserve). Only pods of that VM get it meanwhile,
    /// when they name it.
    ///
    /// # Errors
    /// As [`Claims::take`].
    pub fn reserve(&mut self, vm: &VmName, wish: ReservationWish, now_s: u64) -> Result<IpNet, ClaimError> {
        let (wanted, pool) = match wish {
            ReservationWish::This(address) => (Some(address), self.pool_of(address)),
            ReservationWish::Any(family) => {
                let of_family = |pool: &Pool| Family::of(pool.prefix().addr()) == family;
                (None, self.pools.iter().position(of_family))
            }
        };
        if let Some((address, holder)) = wanted.and_then(|address| self.reserved.get_key_value(&address)) {
            return Err(self.reserved_for(*address, holder));
        }
        let pool = pool.ok_or_else(|| match wish {
            ReservationWish::This(address) => self.outside(address),
            ReservationWish::Any(family) => ClaimError::NoSubnet { network: self.network.clone(), family },
        })?;
        let taken = self.pools[pool].take(wanted, now_s);
        let taken = taken.map_err(|refusal| refusal.named(self.network.clone()))?;
        self.leave_some(vm, &[taken], now_s)?;
        self.reserved.insert(taken.addr(), vm.clone());
        Ok(taken)
    }

    /// Nobody keeps it any more. It stays taken until it is [released](Self::release): a NIC may still have it.
    pub fn unreserve(&mut self, address: IpAddr) {
        self.reserved.remove(&address);
    }

    /// Marks as reserved, and so as taken, what the ledger says a VM keeps.
    pub fn restore_reserved(&mut self, vm: &VmName, address: IpAddr) {
        self.restore(&[address], None);
        self.reserved.insert(address, vm.clone());
    }

    /// Puts back what was taken if the VM has so much at rest that too little would be left to the others.
    fn leave_some(&mut self, vm: &VmName, taken: &[IpNet], now_s: u64) -> Result<(), ClaimError> {
        let (resting, next_s) = self.resting.of(vm, now_s);
        if taken.is_empty() || resting <= self.free().min(MOST_RESTING) {
            return Ok(());
        }
        self.put_back(taken);
        let free_in_s = next_s.map_or(0, |next_s| next_s - now_s);
        Err(ClaimError::Restless { network: self.network.clone(), resting, free_in_s })
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

    /// Why a guest that can use some families only gets nothing.
    fn first_useless(
        &self,
        is_useful: impl Fn(Family) -> bool,
        request: &AddressRequest,
    ) -> Option<ClaimError> {
        let refuse =
            |family, what: String| ClaimError::UselessFamily { network: self.network.clone(), family, what };
        for &address in &request.addresses {
            if !is_useful(Family::of(address)) {
                return Some(refuse(Family::of(address), format!("{address} was asked for")));
            }
        }
        let mut families = self.pools.iter().map(|pool| Family::of(pool.prefix().addr()));
        let first = families.clone().next()?;
        let all_useless = !families.any(is_useful);
        all_useless.then(|| refuse(first, "the network has nothing else".to_owned()))
    }

    fn put_back(&mut self, taken: &[IpNet]) {
        for net in taken {
            if let Some(pool) = self.pools.iter_mut().find(|pool| pool.prefix().contains(&net.addr())) {
                pool.put_back(net.addr());
            }
        }
    }

    fn pool_of(&self, address: IpAddr) -> Option<usize> {
        self.pools.iter().position(|pool| pool.prefix().contains(&address))
    }

    fn reserved_for(&self, address: IpAddr, vm: &VmName) -> ClaimError {
        ClaimError::Reserved { network: self.network.clone(), address, vm: vm.clone() }
    }

    fn outside(&self, address: IpAddr) -> ClaimError {
        let subnets = self.pools.iter().map(|pool| pool.prefix().to_string()).collect::<Vec<_>>().join(", ");
        ClaimError::Outside { network: self.network.clone(), address, subnets }
    }
}
