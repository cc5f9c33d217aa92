//! What is written is what a later daemon reads.

mod first_layout;

use super::*;
use nestless_model::attachment::{Goal, Purpose};

fn record(nic: u32) -> NicRecord {
    NicRecord {
        nic: NicId(nic),
        vm: "vm1".parse().unwrap(),
        network: "pods".parse().unwrap(),
        mac: "4e:4c:00:01:00:01".parse().unwrap(),
        mtu: Default::default(),
        goal: Goal::Spare,
        purpose: Purpose::Pod { addresses: vec!["10.0.0.2/24".parse().unwrap()], mac: None },
        quarantined: false,
        returning: false,
    }
}

fn commit(ledger: &Ledger, changes: &[Change], next_nic: u32) {
    let vm = "vm1".parse().unwrap();
    ledger.commit(&Batch { vm: &vm, changes, cooling_until_s: &|_| 99, next_nic }).unwrap();
}

#[test]
fn reads_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/ledger.redb");
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.read().unwrap(), Contents { next_nic: 1, ..Contents::default() });
    commit(
        &ledger,
        &[Change::Save(record(1)), Change::Save(record(2)), Change::Boot("b1".parse().unwrap())],
        3,
    );
    let release = Change::Release { network: "pods".parse().unwrap(), purpose: record(2).purpose };
    commit(&ledger, &[release, Change::Erase(NicId(2))], 2);
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    let contents = ledger.read().unwrap();
    assert_eq!(contents.nics, [record(1)]);
    assert_eq!(contents.cooling, [("pods".parse().unwrap(), "10.0.0.2".parse().unwrap(), 99)]);
    assert_eq!(contents.boots, [("vm1".parse().unwrap(), "b1".parse().unwrap())]);
    assert_eq!(contents.next_nic, 3, "an id is never used twice");
    ledger.rested(&[("pods".parse().unwrap(), "10.0.0.3".parse().unwrap())], 98).unwrap();
    assert_eq!(ledger.read().unwrap().cooling.len(), 1, "it rests until 99");
    ledger.rested(&[], 99).unwrap();
    assert!(ledger.read().unwrap().cooling.is_empty());
    let release = Change::Release { network: "pods".parse().unwrap(), purpose: record(2).purpose };
    commit(&ledger, &[release], 2);
    ledger.rested(&[("pods".parse().unwrap(), "10.0.0.2".parse().unwrap())], 0).unwrap();
    ledger.forget_vm(&"vm1".parse().unwrap()).unwrap();
    let contents = ledger.read().unwrap();
    assert!(contents.cooling.is_empty() && contents.boots.is_empty());
}

#[test]
fn a_reservation_is_there_until_it_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let ledger = Ledger::open(&path).unwrap();
    let reservation = |address: &str| Reservation {
        vm: "vm1".parse().unwrap(),
        network: "pods".parse().unwrap(),
        address: address.parse().unwrap(),
        request: "r1".parse().unwrap(),
    };
    let (four, six) = (reservation("10.0.0.2/24"), reservation("fd00::2/64"));
    commit(
        &ledger,
        &[Change::Reserve(four.clone()), Change::Reserve(six.clone()), Change::Save(record(1))],
        2,
    );
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    let contents = ledger.read().unwrap();
    assert_eq!(contents.reservations, [four, six.clone()]);
    let remembered = contents.by_vm().remove(&six.vm).unwrap();
    assert_eq!((remembered.nics, remembered.reservations.len()), (vec![record(1)], 2));
    commit(&ledger, &Change::giving_back(&six, [].iter()), 2);
    // A NIC has this one: it rests when that is gone.
    commit(&ledger, &Change::giving_back(&reservation("10.0.0.2/24"), [record(1)].iter()), 2);
    let contents = ledger.read().unwrap();
    assert!(contents.reservations.is_empty());
    assert_eq!(contents.cooling, [("pods".parse().unwrap(), "fd00::2".parse().unwrap(), 99)]);
}

#[test]
fn one_daemon_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let _first = Ledger::open(&path).unwrap();
    let error = Ledger::open(&path).err().expect("the second must not open").to_string();
    assert!(error.contains("is another nestlessd running"), "{error}");
}

#[test]
fn a_file_that_is_no_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    std::fs::write(&path, "not a database").unwrap();
    assert!(Ledger::open(&path).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"not a database");
}
