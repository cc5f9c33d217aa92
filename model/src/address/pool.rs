//! One subnet's addresses.

use super::error::ClaimError;
use crate::{identity::NetworkName, network::Subnet};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// One subnet: which addresses are taken, and which rest.
#[derive(Debug)]
pub struct Pool {
    prefix: IpNet,
    gateway: Option<IpAddr>,
    first: u128,
    last: u128,
    exclude: Vec<(u128, u128)>,
    taken: BTreeSet<u128>,
    /// Address to the second at which it is free.
    cooling: BTreeMap<u128, u64>,
    /// Where the next search begins, so that an address comes round as late as can be.
    cursor: u128,
}

/// How full a subnet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Held by NICs, or reserved.
    pub in_use: u64,
    /// At rest.
    pub cooling: u64,
    /// To be had now; saturates.
    pub free: u64,
}

/// A refusal that does not know its network yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PoolRefusal {
    Exhausted { prefix: IpNet, cooling: u64, next_free_in_s: Option<u64> },
    InUse { address: IpAddr },
    Cooling { address: IpAddr, free_in_s: u64 },
    NotForPods { address: IpAddr },
}

impl PoolRefusal {
    pub(super) fn named(self, network: NetworkName) -> ClaimError {
        match self {
            Self::Exhausted { prefix, cooling, next_free_in_s } => {
                ClaimError::Exhausted { network, prefix, cooling, next_free_in_s }
            }
            Self::InUse { address } => ClaimError::AddressInUse { network, address },
            Self::Cooling { address, free_in_s } => ClaimError::Cooling { network, address, free_in_s },
            Self::NotForPods { address } => ClaimError::NotForPods { network, address },
        }
    }
}

impl Pool {
    /// Nothing taken. The subnet must have been validated with its network; `gateway` is never given out.
    pub(super) fn new(subnet: &Subnet, gateway: Option<IpAddr>) -> Self {
        let prefix = subnet.prefix.trunc();
        let (low, high) = (number(prefix.network()), number(prefix.broadcast()));
        // An IPv4 broadcast address and the network (IPv6: subnet-router anycast, RFC 4291) address serve no pod;
        // prefixes of two addresses or one have neither (RFC 3021, RFC 6164).
        let tiny = high - low < 2;
        let first_host = if tiny { low } else { low + 1 };
        let last_host = if tiny || matches!(prefix, IpNet::V6(_)) { high } else { high - 1 };
        let mut exclude: Vec<(u128, u128)> =
            subnet.exclude.iter().map(|net| (number(net.network()), number(net.broadcast()))).collect();
        exclude.extend(gateway.map(|g| (number(g), number(g))));
        let first = subnet.first.map_or(first_host, number).max(first_host);
        let last = subnet.last.map_or(last_host, number).min(last_host);
        Self {
            prefix,
            gateway,
            first,
            last,
            exclude,
            taken: BTreeSet::new(),
            cooling: BTreeMap::new(),
            cursor: first,
        }
    }

    /// The whole subnet.
    pub fn prefix(&self) -> IpNet {
        self.prefix
    }

    /// The pods' next hop.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.gateway
    }

    /// How full it is.
    pub fn count(&self) -> PoolUse {
        let in_use = self.taken.len() as u64;
        let cooling = self.cooling.len() as u64;
        let size = (self.last + 1).saturating_sub(self.first);
        let excluded: u128 = self
            .exclude
            .iter()
            .map(|&(low, high)| (high.min(self.last) + 1).saturating_sub(low.max(self.first)))
            .sum();
        let busy = excluded + u128::from(in_use) + u128::from(cooling);
        PoolUse { in_use, cooling, free: u64::try_from(size.saturating_sub(busy)).unwrap_or(u64::MAX) }
    }

    pub(super) fn take(&mut self, wanted: Option<IpAddr>, now_s: u64) -> Result<IpNet, PoolRefusal> {
        let chosen = match wanted {
            Some(address) => self.take_this(address, now_s)?,
            None => self.next_free(now_s).ok_or_else(|| self.exhausted(now_s))?,
        };
        self.cooling.remove(&chosen);
        self.taken.insert(chosen);
        if wanted.is_none() {
            self.cursor = chosen + 1;
        }
        Ok(self.whole(address(chosen, &self.prefix)))
    }

    /// An address of the subnet, with its prefix length.
    pub(super) fn whole(&self, address: IpAddr) -> IpNet {
        IpNet::new(address, self.prefix.prefix_len())
            .expect("the prefix length is that of the address's own subnet")
    }

    fn take_this(&self, address: IpAddr, now_s: u64) -> Result<u128, PoolRefusal> {
        let n = number(address);
        if n < self.first || n > self.last || self.excluded_until(n).is_some() {
            return Err(PoolRefusal::NotForPods { address });
        }
        if self.taken.contains(&n) {
            return Err(PoolRefusal::InUse { address });
        }
        match self.cooling.get(&n) {
            Some(&until) if until > now_s => Err(PoolRefusal::Cooling { address, free_in_s: until - now_s }),
            _ => Ok(n),
        }
    }

    fn next_free(&self, now_s: u64) -> Option<u128> {
        let cursor = self.cursor.clamp(self.first, self.last.saturating_add(1));
        self.search(cursor, self.last, now_s)
            .or_else(|| self.search(self.first, cursor.checked_sub(1)?, now_s))
    }

    /// The lowest free address of a range. Steps over excluded ranges at once, over taken addresses one by one: their
    /// number is bounded by the NICs there are.
    fn search(&self, from: u128, to: u128, now_s: u64) -> Option<u128> {
        let mut n = from;
        while n <= to {
            if let Some(end) = self.excluded_until(n) {
                n = end.checked_add(1)?;
            } else if self.taken.contains(&n) || self.cooling.get(&n).is_some_and(|&until| until > now_s) {
                n += 1;
            } else {
                return Some(n);
            }
        }
        None
    }

    fn excluded_until(&self, n: u128) -> Option<u128> {
        self.exclude.iter().find(|&&(low, high)| (low..=high).contains(&n)).map(|&(_, high)| high)
    }

    fn exhausted(&self, now_s: u64) -> PoolRefusal {
        // What rests outside the range, or was given out again, will be nobody's when it has rested.
        let usable = |n: u128| {
            (self.first..=self.last).contains(&n)
                && self.excluded_until(n).is_none()
                && !self.taken.contains(&n)
        };
        let resting = || self.cooling.iter().filter(|&(&n, &until)| until > now_s && usable(n));
        PoolRefusal::Exhausted {
            prefix: self.prefix,
            cooling: resting().count() as u64,
            next_free_in_s: resting().map(|(_, until)| until - now_s).min(),
        }
    }

    pub(super) fn restore(&mut self, address: IpAddr) {
        let n = number(address);
        // The ledger may remember that it rested before it was taken.
        self.cooling.remove(&n);
        self.taken.insert(n);
    }

    pub(super) fn cool(&mut self, address: IpAddr, until_s: u64) {
        let n = number(address);
        self.taken.remove(&n);
        self.cooling.insert(n, until_s);
    }

    pub(super) fn put_back(&mut self, address: IpAddr) {
        self.taken.remove(&number(address));
    }

    pub(super) fn warm_up(&mut self, now_s: u64) -> Vec<IpAddr> {
        let rested: Vec<u128> =
            self.cooling.iter().filter(|&(_, &until)| until <= now_s).map(|(&n, _)| n).collect();
        for n in &rested {
            self.cooling.remove(n);
        }
        rested.into_iter().map(|n| address(n, &self.prefix)).collect()
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(n: u128, family: &IpNet) -> IpAddr {
    match family {
        IpNet::V4(_) => {
            IpAddr::from(u32::try_from(n).expect("numbers of an IPv4 subnet fit 32 bits").to_be_bytes())
        }
        IpNet::V6(_) => IpAddr::from(n.to_be_bytes()),
    }
}
