//! What is taken, rests, and comes round.

use super::*;
use crate::{
    identity::{Mac, NetworkName, VmName},
    network::{Network, Subnet, Uplink},
};
use ipnet::IpNet;
use proptest::prelude::*;
use std::net::IpAddr;

fn network(prefixes: &[&str]) -> Network {
    Network {
        name: NetworkName::new("pods").unwrap(),
        bridge: "br0".parse().unwrap(),
        uplink: Uplink::None,
        mtu: crate::identity::Mtu::default(),
        subnets: prefixes
            .iter()
            .map(|p| Subnet {
                prefix: p.parse().unwrap(),
                gateway: None,
                first: None,
                last: None,
                exclude: vec![],
            })
            .collect(),
        cool_down_s: 60,
        may_overlap: Vec::new(),
        dns: vec![],
        macs: vec![],
    }
}

fn ask(addresses: &[&str]) -> AddressRequest {
    AddressRequest {
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        ..AddressRequest::default()
    }
}

fn vm() -> VmName {
    VmName::new("vm1").unwrap()
}

fn ips(nets: &[IpNet]) -> Vec<IpAddr> {
    nets.iter().map(IpNet::addr).collect()
}

#[test]
fn gives_one_of_each_family_and_never_the_gateway() {
    let mut claims = Claims::new(&network(&["10.1.0.0/30", "fd00::/64"]));
    let got = claims.take(&vm(), &ask(&[]), 0).unwrap();
    assert_eq!(got.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.1.0.2/30", "fd00::2/64"]);
    let error = claims.take(&vm(), &ask(&[]), 0).unwrap_err();
    assert_eq!(error.to_string(), "network pods: no free address in 10.1.0.0/30; 0 cool down after use");
    // The IPv6 address taken on the way was put back.
    assert_eq!(claims.pools()[1].count().in_use, 1);
}

#[test]
fn a_guest_of_one_family_takes_nothing_of_the_other() {
    let mut both = Claims::new(&network(&["10.1.0.0/24", "fd00::/64"]));
    let only = |addresses: &[&str]| AddressRequest { only: Some(Family::V4), ..ask(addresses) };
    let got = both.take(&vm(), &only(&[]), 0).unwrap();
    assert_eq!(got.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.1.0.2/24"]);
    let asked = both.take(&vm(), &only(&["fd00::7"]), 0).unwrap_err();
    assert!(asked.to_string().contains("the VM's kernel has no IPv6, and fd00::7 was asked for"), "{asked}");
    let mut six = Claims::new(&network(&["fd00::/64"]));
    let nothing = six.take(&vm(), &only(&[]), 0).unwrap_err();
    assert!(nothing.to_string().contains("the network has nothing else"), "{nothing}");
    let in_use = |claims: &Claims| claims.pools().iter().map(|pool| pool.count().in_use).collect::<Vec<_>>();
    assert_eq!((in_use(&both), in_use(&six)), (vec![1, 0], vec![0]));
    // A network without subnets gives nothing to anybody, and that is no fault.
    assert_eq!(Claims::new(&network(&[])).take(&vm(), &only(&[]), 0), Ok(vec![]));
}

#[test]
fn an_address_rests_before_it_is_given_again() {
    let mut claims = Claims::new(&network(&["10.1.0.0/30"]));
    let got = claims.take(&vm(), &ask(&[]), 100).unwrap();
    assert_eq!(claims.release(&vm(), &ips(&got), None, 100), 160);
    let error = claims.take(&vm(), &ask(&[]), 130).unwrap_err().to_string();
    assert!(error.contains("the next is free in 30 s"), "{error}");
    let error = claims.take(&vm(), &ask(&["10.1.0.2"]), 130).unwrap_err();
    assert!(matches!(error, ClaimError::Cooling { free_in_s: 30, .. }), "{error}");
    assert_eq!(claims.take(&vm(), &ask(&[]), 160).unwrap(), got);
}

/// What rested once and was given out again, as the ledger may remember it, is nobody's to wait for.
#[test]
fn the_next_free_address_is_one_that_will_be_free() {
    let mut claims = Claims::new(&network(&["10.1.0.0/29"]));
    let address = |n: u8| IpAddr::from([10, 1, 0, n]);
    for n in 2..=6 {
        claims.restore_cooling(address(n), 90);
    }
    claims.restore(&[2, 3, 4, 5].map(address), None);
    assert_eq!(claims.pools()[0].count().cooling, 1);
    claims.restore_cooling(address(6), 3700);
    // It rests from an earlier configuration, in which the range was another.
    claims.restore_cooling(address(1), 90);
    let error = claims.take(&vm(), &ask(&[]), 100).unwrap_err().to_string();
    assert!(error.contains("1 cool down after use, the next is free in 3600 s"), "{error}");
}

#[test]
fn a_restless_vm_leaves_addresses_to_the_others() {
    let mut claims = Claims::new(&network(&["10.1.0.0/28"]));
    let mut spin = |vm: &str, now_s| {
        let vm = VmName::new(vm).unwrap();
        let got = claims.take(&vm, &ask(&[]), now_s)?;
        claims.release(&vm, &ips(&got), None, now_s);
        Ok::<u64, ClaimError>(claims.free())
    };
    let mut left = 13;
    let refusal = loop {
        match spin("restless", 10) {
            Ok(free) => left = free,
            Err(refusal) => break refusal,
        }
    };
    // Thirteen for pods: seven rest, and the six that are left would be five with another pod.
    assert_eq!(left, 6);
    assert_eq!(
        refusal.to_string(),
        "network pods: 7 addresses cool down after pods of this VM, more than are free for all; the next is free in 60 s"
    );
    assert_eq!(spin("calm", 10), Ok(5));
    assert_eq!(spin("restless", 70), Ok(4), "what has rested counts no more");
}

#[test]
fn static_requests() {
    let mut claims = Claims::new(&network(&["10.1.0.0/24"]));
    assert_eq!(claims.take(&vm(), &ask(&["10.1.0.77"]), 0).unwrap()[0].to_string(), "10.1.0.77/24");
    assert!(matches!(claims.take(&vm(), &ask(&["10.1.0.77"]), 0), Err(ClaimError::AddressInUse { .. })));
    assert!(matches!(claims.take(&vm(), &ask(&["10.1.0.1"]), 0), Err(ClaimError::NotForPods { .. })));
    assert!(matches!(claims.take(&vm(), &ask(&["10.1.0.255"]), 0), Err(ClaimError::NotForPods { .. })));
    assert!(matches!(claims.take(&vm(), &ask(&["10.2.0.1"]), 0), Err(ClaimError::Outside { .. })));
    assert!(matches!(
        claims.take(&vm(), &ask(&["10.1.0.8", "10.1.0.9"]), 0),
        Err(ClaimError::TwoOfOneSubnet { .. })
    ));
}

#[test]
fn a_mac_address_serves_one_pod() {
    let mac: Mac = "02:00:00:00:00:01".parse().unwrap();
    let mut claims = Claims::new(&network(&["10.1.0.0/24"]));
    let request = AddressRequest { mac: Some(mac), ..Default::default() };
    let got = claims.take(&vm(), &request, 0).unwrap();
    assert!(matches!(claims.take(&vm(), &request, 0), Err(ClaimError::MacInUse { .. })));
    claims.release(&vm(), &ips(&got), Some(mac), 0);
    claims.take(&vm(), &request, 0).unwrap();
}

#[test]
fn excluded_ranges_are_stepped_over_at_once() {
    let mut network = network(&["fd00::/64"]);
    network.subnets[0].exclude = vec!["fd00::/65".parse().unwrap()];
    let mut claims = Claims::new(&network);
    assert_eq!(claims.take(&vm(), &ask(&[]), 0).unwrap()[0].addr().to_string(), "fd00::8000:0:0:0");
}

/// Where addresses never run out, what rests of one VM's is bounded all the same.
#[test]
fn a_restless_vm_does_not_fill_the_ledger() {
    let mut claims = Claims::new(&network(&["fd00::/64"]));
    let mut rested = 0;
    let refused = loop {
        match claims.take(&vm(), &ask(&[]), 0) {
            Ok(got) => claims.release(&vm(), &ips(&got), None, 0),
            Err(refused) => break refused,
        };
        rested += 1;
        assert!(rested < 20_000);
    };
    assert!(matches!(refused, ClaimError::Restless { .. }), "{refused}");
    assert!(claims.take(&"other".parse().unwrap(), &ask(&[]), 0).is_ok());
}

proptest! {
    /// Whatever comes and goes, no address is held twice, none is given while it rests, and the count is right.
    #[test]
    fn no_address_twice(steps in proptest::collection::vec((any::<bool>(), 0usize..8, 0u64..40), 1..120)) {
        let mut claims = Claims::new(&network(&["10.1.0.0/28"]));
        let mut held: Vec<IpAddr> = vec![];
        let mut resting: Vec<(IpAddr, u64)> = vec![];
        let mut now = 0;
        for (take, index, wait) in steps {
            now += wait;
            if take {
                claims.warm_up(now);
                let rests = resting.iter().filter(|&&(_, until)| until > now).count();
                match claims.take(&vm(), &AddressRequest::default(), now) {
                    Ok(got) => {
                        let ip = got[0].addr();
                        prop_assert!(!held.contains(&ip));
                        prop_assert!(!resting.iter().any(|&(r, until)| r == ip && until > now));
                        resting.retain(|&(r, _)| r != ip);
                        held.push(ip);
                    }
                    Err(ClaimError::Exhausted { .. }) => prop_assert_eq!(held.len() + rests, 13),
                    Err(error) => {
                        prop_assert!(matches!(error, ClaimError::Restless { .. }), "{}", error);
                        prop_assert!(held.len() + 2 * rests > 12);
                    }
                }
            } else if !held.is_empty() {
                let ip = held.remove(index % held.len());
                let until = claims.release(&vm(), &[ip], None, now);
                resting.push((ip, until));
            }
            prop_assert_eq!(claims.pools()[0].count().in_use, held.len() as u64);
        }
    }
}
