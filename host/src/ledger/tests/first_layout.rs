//! A ledger of layout 1 as it was written before there were purposes and reservations: with a spare NIC, one that serves a pod
//! with addresses of both families, a MAC address it asked for and limits, one whose attach was cut short, a fraction's
//! endpoint, a spare one that still holds its last pod's address, an endpoint and a pod's NIC that go, one in quarantine, two
//! boots and two addresses at rest.

use super::*;
use nestless_model::{
    attachment::{Attachment, Goal, PodRef, Purpose},
    guard::RateLimit,
    identity::{AttachmentId, Mac, Mtu},
    loopback::{GroupId, Membership, Place},
};

const FILE: &[u8] = include_bytes!("../../../tests/fixtures/ledger-layout-1.redb");

fn nic(id: u32, vm: &str, goal: Goal, purpose: Purpose) -> NicRecord {
    NicRecord {
        nic: NicId(id),
        vm: vm.parse().unwrap(),
        network: "pods".parse().unwrap(),
        mac: Mac::of_nic(7, NicId(id)),
        mtu: Mtu::default(),
        goal,
        purpose,
        quarantined: false,
        returning: false,
    }
}

fn pod(addresses: &[&str], mac: Option<&str>) -> Purpose {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Purpose::Pod { addresses, mac: mac.map(|mac| mac.parse().unwrap()) }
}

fn fraction(name: &str, place: u8) -> Purpose {
    Purpose::Endpoint(Membership {
        group: "shop".parse().unwrap(),
        id: GroupId::new(5).unwrap(),
        fraction: name.parse().unwrap(),
        place: Place::new(place).unwrap(),
        size: 3.try_into().unwrap(),
        owner: None,
    })
}

fn serving(container: &str, interface: &str) -> Attachment {
    Attachment {
        id: AttachmentId { container: container.parse().unwrap(), interface: interface.parse().unwrap() },
        request: format!("request-{container}").parse().unwrap(),
        egress: None,
        ingress: None,
        sandbox: format!("/run/netns/{container}"),
        pod: PodRef::default(),
        confirmed: false,
        pci_address: String::new(),
    }
}

fn contents() -> Contents {
    let web = Attachment {
        egress: Some(RateLimit { bits_per_second: 100_000_000, burst_bits: 8_000_000 }),
        ingress: Some(RateLimit { bits_per_second: 200_000_000, burst_bits: 16_000_000 }),
        pod: PodRef { namespace: "shop".into(), name: "web-0".into(), uid: "6f0c8f0e".into() },
        confirmed: true,
        pci_address: "0000:01:02.0".into(),
        ..serving("web", "eth0")
    };
    let database = Attachment { confirmed: true, ..serving("db", "hostlo0") };
    let serve = |attachment| Goal::Serve(Box::new(attachment));
    let web_purpose = pod(&["10.88.0.2/16", "fd00:88::2/64"], Some("02:00:5e:10:00:01"));
    let stuck = pod(&["10.88.0.8/16"], Some("02:00:5e:10:00:08"));
    Contents {
        nics: vec![
            nic(1, "vm1", Goal::Spare, Purpose::default()),
            NicRecord { mtu: Mtu::new(1400).unwrap(), ..nic(2, "vm1", serve(web), web_purpose) },
            nic(3, "vm1", serve(serving("late", "eth0")), pod(&["10.88.0.3/16"], None)),
            nic(4, "vm1", serve(database), fraction("db", 1)),
            nic(5, "vm1", Goal::Spare, pod(&["10.88.0.5/16"], None)),
            nic(6, "vm1", Goal::Remove, fraction("app", 2)),
            nic(7, "vm2", Goal::Remove, pod(&["10.88.0.7/16"], None)),
            NicRecord { quarantined: true, ..nic(8, "vm2", Goal::Remove, stuck) },
        ],
        reservations: vec![],
        cooling: ["10.88.0.9", "fd00:88::9"]
            .map(|address| ("pods".parse().unwrap(), address.parse().unwrap(), 1_700_000_060))
            .into(),
        boots: [("vm1", "boot-1"), ("vm2", "boot-2")]
            .map(|(vm, boot)| (vm.parse().unwrap(), boot.parse().unwrap()))
            .into(),
        next_nic: 10,
    }
}

/// Every table but that of reservations, byte by byte.
fn rows(path: &Path) -> Vec<(String, Vec<u8>)> {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_read().unwrap();
    let mut rows = Vec::new();
    for row in transaction.open_table(NICS).unwrap().iter().unwrap() {
        let (id, record) = row.unwrap();
        rows.push((format!("nic {}", id.value()), record.value().to_vec()));
    }
    for row in transaction.open_table(COOLING).unwrap().iter().unwrap() {
        let (key, until) = row.unwrap();
        rows.push((format!("cooling {}", key.value()), until.value().to_le_bytes().to_vec()));
    }
    for row in transaction.open_table(BOOTS).unwrap().iter().unwrap() {
        let (vm, boot) = row.unwrap();
        rows.push((format!("boot {}", vm.value()), boot.value().as_bytes().to_vec()));
    }
    for row in transaction.open_table(META).unwrap().iter().unwrap() {
        let (key, value) = row.unwrap();
        rows.push((format!("meta {}", key.value()), value.value().to_le_bytes().to_vec()));
    }
    rows
}

#[test]
fn every_field_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    std::fs::write(&path, FILE).unwrap();
    let read = Ledger::open(&path).unwrap().read().unwrap();
    let expected = contents();
    for (record, expected) in read.nics.iter().zip(&expected.nics) {
        assert_eq!(record, expected);
    }
    assert_eq!(read, expected);
}

/// So an older daemon reads what this one writes.
#[test]
fn the_same_records_are_written_byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.redb"), folder.path().join("new.redb"));
    std::fs::write(&old, FILE).unwrap();
    let ledger = Ledger::open(&new).unwrap();
    let Contents { nics, boots, next_nic, .. } = contents();
    for (vm, boot) in boots {
        let mut changes = vec![Change::Boot(boot)];
        changes.extend(nics.iter().filter(|record| record.vm == vm).cloned().map(Change::Save));
        if vm.as_str() == "vm1" {
            let purpose = pod(&["10.88.0.9/16", "fd00:88::9/64"], None);
            changes.push(Change::Release { network: "pods".parse().unwrap(), purpose });
        }
        let batch = Batch { vm: &vm, changes: &changes, cooling_until_s: &|_| 1_700_000_060, next_nic };
        ledger.commit(&batch).unwrap();
    }
    drop(ledger);
    let (old, new) = (rows(&old), rows(&new));
    for (old, new) in old.iter().zip(&new) {
        assert_eq!(old, new, "{} and {}", old.1.escape_ascii(), new.1.escape_ascii());
    }
    assert_eq!(old.len(), new.len());
}
