//! What VMs share: the pools that addresses, MAC addresses, NIC ids and places in loopback groups come from, and the ledger
//! that what they give is written in.

use super::message::RequestError;
use crate::ledger::{Batch, Contents, Ledger, LedgerError};
use ipnet::IpNet;
use nestless_model::{
    address::{ClaimError, Claims, PoolUse, ReservationWish},
    attachment::{Change, NicRecord, Purpose, Remembered, Wish},
    identity::{Mac, MacPrefix, NetworkName, NicId, TenantName, VmName},
    loopback::{GroupId, Groups, KnownGroup, Membership},
    network::Network,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;
use tracing::info;

/// The pools of one host, for the tasks of all VMs.
pub struct Pools {
    ledger: Arc<Ledger>,
    host_id: u16,
    networks: BTreeMap<NetworkName, Network>,
    /// MAC addresses that pods of a VM may ask for, besides those of the network.
    macs: RwLock<BTreeMap<VmName, Vec<MacPrefix>>>,
    clock: Clock,
    state: Mutex<State>,
    /// Counts places in loopback groups that were given back.
    places_given_back: watch::Sender<u64>,
}

/// Seconds since 1970 when the daemon started, and from then on as they really go by: an address rests as long as it
/// shall, whatever is done to the host's clock meanwhile.
struct Clock {
    started_s: u64,
    started: Instant,
}

impl Clock {
    fn start() -> Self {
        let started_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        Self { started_s, started: Instant::now() }
    }

    fn now_s(&self) -> u64 {
        self.started_s + self.started.elapsed().as_secs()
    }
}

struct State {
    claims: BTreeMap<NetworkName, Claims>,
    groups: Groups,
    next_nic: u32,
    /// Low halves of the ids in use: they are what tells the MAC addresses of this host's NICs apart.
    low_ids: BTreeSet<u16>,
}

impl State {
    fn warm_up(&mut self, now_s: u64) -> Vec<(NetworkName, IpAddr)> {
        let claims = self.claims.iter_mut();
        let rested = claims.flat_map(|(name, claims)| {
            claims.warm_up(now_s).into_iter().map(|address| (name.clone(), address))
        });
        rested.collect()
    }
}

/// One subnet, for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetUse {
    /// The whole subnet.
    pub prefix: IpNet,
    /// The pods' next hop.
    pub gateway: Option<IpAddr>,
    /// How full it is.
    pub count: PoolUse,
}

impl Pools {
    /// Takes over what the ledger holds.
    pub fn new(
        ledger: Ledger,
        host_id: u16,
        networks: Vec<Network>,
        tenants: BTreeMap<VmName, TenantName>,
        contents: &Contents,
    ) -> Self {
        let mut claims: BTreeMap<NetworkName, Claims> =
            networks.iter().map(|network| (network.name.clone(), Claims::new(network))).collect();
        let clock = Clock::start();
        for (network, address, until_s) in &contents.cooling {
            if let Some(claims) = claims.get_mut(network) {
                // It was written under a clock that may have been ahead of this one by years.
                let longest_s = clock.now_s() + claims.cool_down_s();
                claims.restore_cooling(*address, (*until_s).min(longest_s));
            }
        }
        for kept in &contents.reservations {
            if let Some(claims) = claims.get_mut(&kept.network) {
                claims.restore_reserved(&kept.vm, kept.address.addr());
            }
        }
        for record in &contents.nics {
            if let (Purpose::Pod { mac, .. }, Some(claims)) =
                (&record.purpose, claims.get_mut(&record.network))
            {
                claims.restore(&record.purpose.ips(), *mac);
            }
        }
        let groups = restored(tenants, &contents.nics);
        let highest = contents.nics.iter().map(|record| record.nic.0.saturating_add(1)).max().unwrap_or(1);
        let state = State {
            claims,
            groups,
            next_nic: contents.next_nic.max(highest),
            low_ids: contents.nics.iter().map(|record| low_half(record.nic)).collect(),
        };
        Self {
            ledger: Arc::new(ledger),
            host_id,
            networks: networks.into_iter().map(|network| (network.name.clone(), network)).collect(),
            macs: RwLock::default(),
            clock,
            state: Mutex::new(state),
            places_given_back: watch::Sender::default(),
        }
    }

    /// What the ledger has now of each VM.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn recall(&self) -> Result<BTreeMap<VmName, Remembered>, LedgerError> {
        Ok(self.ledger.read()?.by_vm())
    }

    /// The configuration says anew whose the VMs are.
    pub fn set_tenants(&self, tenants: BTreeMap<VmName, TenantName>) {
        self.state().groups.set_tenants(tenants);
    }

    /// With MAC addresses that pods of single VMs may ask for.
    #[must_use]
    pub fn with_macs(self, macs: BTreeMap<VmName, Vec<MacPrefix>>) -> Self {
        self.set_macs(macs);
        self
    }

    /// The configuration says anew which.
    pub fn set_macs(&self, macs: BTreeMap<VmName, Vec<MacPrefix>>) {
        *self.macs.write().unwrap_or_else(PoisonError::into_inner) = macs;
    }

    /// A configured network.
    pub fn network(&self, name: &NetworkName) -> Option<&Network> {
        self.networks.get(name)
    }

    /// All configured networks.
    pub fn networks(&self) -> impl Iterator<Item = &Network> {
        self.networks.values()
    }

    /// How full a network's subnets are.
    pub fn subnets(&self, network: &NetworkName) -> Vec<SubnetUse> {
        let state = self.state();
        let pools = state.claims.get(network).map(Claims::pools).unwrap_or_default();
        pools
            .iter()
            .map(|pool| SubnetUse { prefix: pool.prefix(), gateway: pool.gateway(), count: pool.count() })
            .collect()
    }

    /// Free addresses of a network's scarcest subnet.
    pub fn free_addresses(&self, network: &NetworkName) -> u64 {
        self.state().claims.get(network).map_or(0, Claims::free)
    }

    /// An id that was never used and its address.
    pub(super) fn fresh_nic(&self) -> (NicId, Mac) {
        let mut state = self.state();
        loop {
            let nic = NicId(state.next_nic);
            state.next_nic = state.next_nic.checked_add(1).unwrap_or(1);
            if state.low_ids.insert(low_half(nic)) {
                return (nic, Mac::of_nic(self.host_id, nic));
            }
        }
    }

    /// Keeps ids that were seen in the world from being given out: a ledger that was lost does not know them.
    pub(super) fn reserve(&self, seen: impl Iterator<Item = NicId>) {
        let mut state = self.state();
        for nic in seen {
            state.next_nic = state.next_nic.max(nic.0.saturating_add(1));
        }
    }

    /// Whether the operator foresees that pods of the VM have that MAC address. A bridge learns from what is sent: an address that
    /// is something else's would draw that one's traffic to the pod.
    pub(super) fn allows(&self, vm: &VmName, network: &NetworkName, mac: Mac) -> Result<(), ClaimError> {
        let of_network = self.networks.get(network).into_iter().flat_map(|network| &network.macs);
        let macs = self.macs.read().unwrap_or_else(PoisonError::into_inner);
        let allowed: Vec<&MacPrefix> = of_network.chain(macs.get(vm).into_iter().flatten()).collect();
        if allowed.iter().any(|prefix| prefix.contains(mac)) {
            return Ok(());
        }
        let allowed = allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(ClaimError::MacNotAllowed { network: network.clone(), mac, vm: vm.clone(), allowed })
    }

    /// Takes what is wished from the pools.
    pub(super) fn take(
        &self,
        vm: &VmName,
        network: &NetworkName,
        wish: &Wish,
    ) -> Result<Purpose, RequestError> {
        let mut state = self.state();
        match wish {
            Wish::Endpoint(wish) => {
                let membership = state.groups.take(vm, wish)?;
                let known = state.groups.known(membership.id);
                if let Some(before) = known.and_then(|mut known| known.before.remove(&membership.place)) {
                    let Membership { group, fraction, .. } = &membership;
                    info!(%vm, %before, %group, %fraction, "a fraction takes over the name that it had in another VM");
                }
                Ok(Purpose::Endpoint(membership))
            }
            Wish::Pod(wanted) => {
                if let Some(mac) = wanted.mac {
                    self.allows(vm, network, mac)?;
                }
                let claims = state.claims.get_mut(network).ok_or_else(|| self.unknown_network(network))?;
                let addresses = claims.take(vm, wanted, self.clock.now_s())?;
                Ok(Purpose::Pod { addresses, mac: wanted.mac })
            }
        }
    }

    /// Changes whenever a place in a loopback group is given back.
    pub fn places_given_back(&self) -> watch::Receiver<u64> {
        self.places_given_back.subscribe()
    }

    /// What is known of a loopback group; `None` when nobody is in it.
    pub fn group(&self, id: GroupId) -> Option<KnownGroup> {
        self.state().groups.known(id)
    }

    /// Takes an address that the VM will keep.
    pub(super) fn reserve_address(
        &self,
        vm: &VmName,
        network: &NetworkName,
        wish: ReservationWish,
    ) -> Result<IpNet, RequestError> {
        let mut state = self.state();
        let claims = state.claims.get_mut(network).ok_or_else(|| self.unknown_network(network))?;
        Ok(claims.reserve(vm, wish, self.clock.now_s())?)
    }

    /// The refusal of a network that is not configured.
    pub(super) fn unknown_network(&self, name: &NetworkName) -> RequestError {
        let known: Vec<&str> = self.networks.keys().map(NetworkName::as_str).collect();
        RequestError::UnknownNetwork { network: name.to_string(), known: known.join(", ") }
    }

    /// Makes changes durable, then lets released addresses rest.
    pub(super) async fn commit(&self, vm: &VmName, changes: Vec<Change>) -> Result<(), LedgerError> {
        if changes.is_empty() {
            return Ok(());
        }
        let now_s = self.clock.now_s();
        let (ledger, owner, next_nic) = (Arc::clone(&self.ledger), vm.clone(), self.state().next_nic);
        let cool_downs: BTreeMap<NetworkName, u64> =
            self.networks.values().map(|network| (network.name.clone(), network.cool_down_s)).collect();
        let written = tokio::task::spawn_blocking(move || {
            let cooling_until_s =
                |network: &NetworkName| now_s + cool_downs.get(network).copied().unwrap_or(0);
            let batch = Batch { vm: &owner, changes: &changes, cooling_until_s: &cooling_until_s, next_nic };
            ledger.commit(&batch).map(|()| changes)
        });
        // A panic in the ledger is a bug of ours; going on without it would lose what was promised.
        let changes = written.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let mut state = self.state();
        for change in changes {
            match change {
                Change::Release { purpose: Purpose::Endpoint(membership), .. } => {
                    state.groups.release(&membership);
                    self.places_given_back.send_modify(|count| *count = count.wrapping_add(1));
                }
                Change::Release { network, purpose } => {
                    if let Some(claims) = state.claims.get_mut(&network) {
                        claims.release(vm, &purpose.ips(), purpose.mac(), now_s);
                    }
                }
                Change::Unreserve { network, address } => {
                    if let Some(claims) = state.claims.get_mut(&network) {
                        claims.unreserve(address);
                    }
                }
                Change::Erase(nic) => drop(state.low_ids.remove(&low_half(nic))),
                // What was reserved was taken before.
                Change::Save(_) | Change::Reserve(_) | Change::Boot(_) => {}
            }
        }
        Ok(())
    }

    /// Frees addresses that have rested, and has the ledger forget them.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn warm_up(&self) -> Result<(), LedgerError> {
        let now_s = self.clock.now_s();
        let rested = self.state().warm_up(now_s);
        if rested.is_empty() { Ok(()) } else { self.ledger.rested(&rested, now_s) }
    }

    /// Settles what the ledger has of VMs that the configuration has no more. A NIC whose host end is gone is nobody's, and
    /// its addresses can be given to others; the records that are returned still have one.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn settle_departed(
        &self,
        records: Vec<NicRecord>,
        exists: impl Fn(NicId) -> bool,
    ) -> Result<Vec<NicRecord>, LedgerError> {
        let (kept, gone): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| exists(record.nic));
        for NicRecord { nic, vm, network, purpose, .. } in gone {
            self.commit(&vm, vec![Change::Release { network, purpose }, Change::Erase(nic)]).await?;
            if !kept.iter().any(|record| record.vm == vm) {
                self.ledger.forget_vm(&vm)?;
            }
        }
        Ok(kept)
    }

    /// Gives back the addresses that were kept for a VM that the configuration has no more, and forgets the VM if it has no
    /// NIC. What a NIC has goes with the NIC.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn unreserve_departed(&self, vm: &VmName, departed: &Remembered) -> Result<(), LedgerError> {
        let given_back =
            departed.reservations.iter().flat_map(|kept| Change::giving_back(kept, departed.nics.iter()));
        self.commit(vm, given_back.collect()).await?;
        if departed.nics.is_empty() { self.ledger.forget_vm(vm) } else { Ok(()) }
    }

    /// Has the ledger forget addresses of networks and subnets that the configuration has no more, once they have rested.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn forget_strangers(&self) -> Result<(), LedgerError> {
        self.ledger.rested(&[], self.clock.now_s())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between statements; a panic elsewhere does not make it less so.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every group as the ledger has it. VMs without a tenant come last, among them those that are configured no more: what does
/// not say whose it is belongs to those who do.
fn restored(tenants: BTreeMap<VmName, TenantName>, records: &[NicRecord]) -> Groups {
    let (first, last): (Vec<_>, Vec<_>) = records.iter().partition(|record| tenants.contains_key(&record.vm));
    let mut groups = Groups::new(tenants);
    for record in first.into_iter().chain(last) {
        if let Purpose::Endpoint(membership) = &record.purpose {
            groups.restore(&record.vm, membership);
        }
    }
    groups
}

fn low_half(nic: NicId) -> u16 {
    (nic.0 & 0xffff) as u16
}
