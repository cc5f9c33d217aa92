//! Addresses that are reserved: two VMs, and the pool that both take from.

use super::simulation::{Simulation, interface, limits, network, request};
use crate::{
    address::{AddressRequest, Claims, Family, ReservationWish},
    attachment::*,
    identity::Mtu,
    network::{Network, Subnet, Uplink},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

fn claims() -> Claims {
    let subnet = Subnet {
        prefix: "10.0.0.0/28".parse().unwrap(),
        gateway: None,
        first: None,
        last: None,
        exclude: vec![],
    };
    Claims::new(&Network {
        name: network(),
        bridge: "br0".parse().unwrap(),
        uplink: Uplink::None,
        mtu: Mtu::default(),
        subnets: vec![subnet],
        cool_down_s: 0,
        may_overlap: Vec::new(),
        dns: vec![],
        macs: vec![],
    })
}

struct Host {
    claims: Claims,
    vms: [Simulation; 2],
}

impl Host {
    fn new() -> Self {
        Self { claims: claims(), vms: ["vm1", "vm2"].map(|vm| Simulation::named(vm, limits(4, 1))) }
    }

    /// As a VM's task does it, repetitions included.
    fn reserve(&mut self, vm: usize, n: u32, wish: ReservationWish) -> Result<IpAddr, String> {
        let s = &mut self.vms[vm];
        let admitted = s.machine.admits_reservation(&request(n), wish.family());
        if let Some(made) = admitted.map_err(|refusal| refusal.to_string())? {
            return Ok(made.address.addr());
        }
        let address = self.claims.reserve(&s.vm, wish, 0).map_err(|error| error.to_string())?;
        let reservation = Reservation { vm: s.vm.clone(), network: network(), address, request: request(n) };
        s.decide(|m, _| m.reserve(reservation));
        Ok(address.addr())
    }

    fn unreserve(&mut self, vm: usize, address: IpAddr) -> bool {
        let mut existed = false;
        self.vms[vm].decide(|m, _| {
            let outcome = m.unreserve(&network(), address);
            existed = outcome.is_some();
            outcome.unwrap_or_default()
        });
        self.give_back();
        existed
    }

    fn attach(&mut self, vm: usize, n: u32, addresses: Vec<IpAddr>) -> Result<(), String> {
        let s = &mut self.vms[vm];
        let asked = AddressRequest { addresses, ..AddressRequest::default() };
        let admitted = s.machine.admits(&interface(n), &request(n), &network(), &Wish::Pod(asked.clone()));
        if admitted.map_err(|refusal| refusal.to_string())? == Admission::New {
            let addresses = self.claims.take(&s.vm, &asked, 0).map_err(|error| error.to_string())?;
            let ticket = s.ticket();
            s.attach_new(ticket, n, Purpose::Pod { addresses, mac: None });
        }
        Ok(())
    }

    /// What the changes say is done to the pool, as after a commit.
    fn give_back(&mut self) {
        for s in &mut self.vms {
            for purpose in s.released.drain(..) {
                self.claims.release(&s.vm, &purpose.ips(), purpose.mac(), 0);
            }
            for address in s.unreserved.drain(..) {
                self.claims.unreserve(address);
            }
        }
    }

    fn settle(&mut self) {
        self.vms.iter_mut().for_each(Simulation::settle);
        self.give_back();
    }

    fn crash(&mut self) {
        self.claims = claims();
        for s in &mut self.vms {
            for kept in s.kept.values() {
                self.claims.restore_reserved(&kept.vm, kept.address.addr());
            }
            for record in s.ledger.values() {
                self.claims.restore(&record.purpose.ips(), None);
            }
            s.crash();
        }
        self.give_back();
    }

    /// An address has one NIC at most, and is kept for one VM at most, whose NIC it is then; the pool knows of all.
    fn check(&self) {
        let (mut nics, mut kept) = (BTreeMap::new(), BTreeMap::new());
        for s in &self.vms {
            for ip in s.ledger.values().flat_map(|record| record.purpose.ips()) {
                assert!(nics.insert(ip, &s.vm).is_none(), "{ip} is two NICs'");
            }
            for &ip in s.kept.keys() {
                assert!(kept.insert(ip, &s.vm).is_none(), "{ip} is kept for two");
            }
        }
        for (ip, vm) in &nics {
            assert!(kept.get(ip).is_none_or(|keeper| keeper == vm), "{ip} is {vm}'s, and kept for another");
        }
        let taken: BTreeSet<_> = nics.keys().chain(kept.keys()).collect();
        assert_eq!(self.claims.pools()[0].count().in_use, taken.len() as u64);
    }
}

fn ip(n: u32) -> IpAddr {
    format!("10.0.0.{n}").parse().unwrap()
}

#[test]
fn a_reservation_stands_until_it_is_released() {
    let mut host = Host::new();
    let address = host.reserve(0, 1, ReservationWish::Any(Family::V4)).unwrap();
    assert_eq!(host.reserve(0, 1, ReservationWish::Any(Family::V4)), Ok(address), "the same request again");
    for n in [1, 2] {
        host.attach(0, n, vec![address]).unwrap();
        let again = host.attach(0, 3, vec![address]).unwrap_err();
        assert_eq!(again, "the VM has reserved 10.0.0.2, and a NIC of it has it: detach that one first");
        host.settle();
        host.vms[0].detach(n);
        host.settle();
        host.check();
    }
    let other = host.attach(1, 1, vec![address]).unwrap_err();
    assert_eq!(other, "network pods: 10.0.0.2 is reserved for VM vm1");
    assert_eq!(host.reserve(1, 1, ReservationWish::This(address)).unwrap_err(), other);
    assert!(!host.unreserve(1, address), "another VM's");
    host.crash();
    assert!(host.unreserve(0, address));
    assert!(!host.unreserve(0, address));
    host.attach(1, 1, vec![address]).unwrap();
    host.check();
}

/// A guard that could not be closed may let the last pod speak on, until its NIC is gone.
#[test]
fn an_address_stays_with_a_nic_whose_guard_could_not_be_closed() {
    let mut host = Host::new();
    let address = host.reserve(0, 1, ReservationWish::Any(Family::V4)).unwrap();
    host.attach(0, 1, vec![address]).unwrap();
    host.settle();
    host.vms[0].detach(1);
    // Closing it, closing it once more, and unplugging.
    for _ in 0..3 {
        host.vms[0].step(0, true);
        let early = host.attach(0, 2, vec![address]).unwrap_err();
        assert_eq!(early, "the VM has reserved 10.0.0.2, and a NIC of it has it: detach that one first");
    }
}

#[test]
fn what_a_nic_has_rests_when_the_nic_is_gone() {
    let mut host = Host::new();
    let address = host.reserve(0, 1, ReservationWish::This(ip(7))).unwrap();
    host.attach(0, 1, vec![address]).unwrap();
    host.settle();
    assert!(host.unreserve(0, address));
    let other = host.attach(1, 1, vec![address]).unwrap_err();
    assert_eq!(other, "network pods: 10.0.0.7 is in use by another pod");
    host.vms[0].detach(1);
    host.settle();
    host.attach(1, 1, vec![address]).unwrap();
    host.check();
}

#[test]
fn another_boot_keeps_nothing() {
    let mut host = Host::new();
    let (with_nic, without) = (ip(5), ip(6));
    host.reserve(0, 1, ReservationWish::This(with_nic)).unwrap();
    host.reserve(0, 2, ReservationWish::This(without)).unwrap();
    host.attach(0, 1, vec![with_nic]).unwrap();
    host.settle();
    host.vms[0].hello("boot-1");
    assert_eq!(host.vms[0].kept.len(), 2, "the same boot");
    host.vms[0].hello("boot-2");
    host.give_back();
    assert!(host.vms[0].kept.is_empty());
    host.check();
    host.settle();
    assert_eq!(host.claims.pools()[0].count().in_use, 0);
}

#[test]
fn a_vm_keeps_as_many_addresses_as_it_may_have_nics() {
    let mut host = Host::new();
    for n in 0..4 {
        host.reserve(0, n, ReservationWish::Any(Family::V4)).unwrap();
    }
    let refused = host.reserve(0, 9, ReservationWish::Any(Family::V4)).unwrap_err();
    assert_eq!(
        refused,
        "the VM has reserved 4 IPv4 addresses, as many as it may have NICs: release one first"
    );
    let missing = host.reserve(1, 9, ReservationWish::Any(Family::V6)).unwrap_err();
    assert_eq!(missing, "network pods has no IPv6 subnet");
    host.check();
}

#[test]
fn nothing_is_reserved_for_a_guest_that_is_not_there() {
    let mut host = Host::new();
    let vm = host.vms[0].vm.clone();
    host.vms[0].machine = VmNics::new(vm, limits(4, 1), Remembered::default());
    let refused = host.reserve(0, 1, ReservationWish::Any(Family::V4)).unwrap_err();
    assert!(refused.contains("has not said hello since it booted"), "{refused}");
}

#[derive(Clone, Debug)]
enum Action {
    Reserve(u32, Option<u32>),
    Unreserve(u32),
    Attach(u32, Option<u32>),
    Detach(u32),
    Confirm(u32),
    Step { index: usize, fail: bool },
    Reboot(u32),
    Crash,
}

fn action() -> impl Strategy<Value = (usize, Action)> {
    let address = || proptest::option::of(2u32..8);
    let action = prop_oneof![
        4 => (0u32..6, address()).prop_map(|(n, address)| Action::Reserve(n, address)),
        3 => (2u32..8).prop_map(Action::Unreserve),
        5 => (0u32..4, address()).prop_map(|(n, address)| Action::Attach(n, address)),
        4 => (0u32..4).prop_map(Action::Detach),
        2 => (0u32..4).prop_map(Action::Confirm),
        15 => (any::<usize>(), proptest::bool::weighted(0.1))
            .prop_map(|(index, fail)| Action::Step { index, fail }),
        1 => (0u32..3).prop_map(Action::Reboot),
        1 => Just(Action::Crash),
    ];
    (0usize..2, action)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever two VMs reserve, attach and give back, and wherever the daemon dies.
    #[test]
    fn an_address_never_has_two_holders(actions in proptest::collection::vec(action(), 1..120)) {
        let mut host = Host::new();
        for (vm, action) in actions {
            // Refusals are part of it.
            match action {
                Action::Reserve(n, address) => {
                    let wish = address.map_or(ReservationWish::Any(Family::V4), |n| ReservationWish::This(ip(n)));
                    drop(host.reserve(vm, n, wish));
                }
                Action::Unreserve(n) => drop(host.unreserve(vm, ip(n))),
                Action::Attach(n, address) => drop(host.attach(vm, n, address.map(ip).into_iter().collect())),
                Action::Detach(n) => drop(host.vms[vm].detach(n)),
                Action::Confirm(n) => {
                    host.vms[vm].decide(|m, _| m.confirm(&interface(n), "").unwrap_or_default());
                }
                Action::Step { index, fail } => host.vms[vm].step(index, fail),
                Action::Reboot(boot) => host.vms[vm].hello(&format!("boot-{boot}")),
                Action::Crash => host.crash(),
            }
            host.give_back();
            host.check();
        }
        // And nothing stays taken once nobody has a use for it.
        for vm in 0..2 {
            for n in 0..4 {
                host.vms[vm].detach(n);
            }
            for n in 2..16 {
                host.unreserve(vm, ip(n));
            }
        }
        for _ in 0..3 {
            host.settle();
            for s in &mut host.vms {
                s.now_ms += 100_000;
                s.decide(|m, c| m.tick(c));
            }
        }
        host.settle();
        prop_assert_eq!(host.claims.pools()[0].count().in_use, 0);
    }
}
