//! NICs that are lent: they stand in the VM's own namespace, and come back wherever they have been.

use crate::fabric::{PATIENCE, Waiting, is_spent, links, nic_mac, waiting};
use nestless_guest::{
    identify::parked_name,
    lent_nic::{LentNic, LentNicError, lend, take_back},
    parking::Parking,
};
use nestless_model::identity::{InterfaceName, Mac, Mtu};
use nestless_support::{
    netlink::{BridgeSettings, HardwareAddress, Netlink},
    netns::Namespace,
};

fn lent(nic_mac: Mac) -> LentNic {
    LentNic {
        nic_mac,
        name: InterfaceName::new("dk0").unwrap(),
        mac: "02:00:5e:10:00:01".parse().unwrap(),
        mtu: Mtu::new(1400).unwrap(),
    }
}

/// As dockerd moves an interface into a container, and back.
async fn move_on(from: &Namespace, name: &str, to: &Namespace, new_name: &str) {
    let inside = Netlink::inside(from).await.unwrap();
    let link = inside.link(name).await.unwrap();
    inside.set_down(&link).await.unwrap();
    inside.move_to(&link, to, Some(new_name)).await.unwrap();
}

#[tokio::test]
async fn a_lent_nic_stands_in_the_vm_and_comes_back() {
    let Waiting { fabric, parking, nic, sandbox: container } = waiting().await;
    let wanted = lent(nic);
    lend(&parking, &wanted).await.unwrap();
    let link = fabric.in_vm.link("dk0").await.unwrap();
    assert_eq!((link.up, link.mtu_bytes, link.mac), (false, 1400, Some(HardwareAddress(wanted.mac.bytes()))));
    assert!(!parking.waiting().borrow().free.contains(&nic));
    // Whoever has it may set it up. The one that comes after it is parked, so this one was looked at.
    fabric.in_vm.set_up(&link).await.unwrap();
    fabric.park(&parking, 2).await;
    assert_eq!(links(&fabric.vm).await.len(), 1);

    move_on(&fabric.vm, "dk0", &container, "eth0").await;
    let inside = Netlink::inside(&container).await.unwrap();
    inside.set_up(&inside.link("eth0").await.unwrap()).await.unwrap();
    move_on(&container, "eth0", &fabric.vm, "another").await;
    fabric.park(&parking, 3).await;
    assert_eq!(fabric.in_vm.link("another").await.unwrap().mac, link.mac);

    assert!(take_back(&parking, nic).await.unwrap());
    assert!(!take_back(&parking, nic).await.unwrap());
    is_spent(&parking, nic).await;
    assert_eq!(links(&fabric.vm).await, []);
    let parked =
        links(parking.namespace()).await.into_iter().find(|link| link.name == parked_name(nic)).unwrap();
    assert_eq!((parked.up, parked.mac), (false, Some(HardwareAddress(nic.bytes()))));
    let again = lend(&parking, &wanted).await.unwrap_err();
    assert!(matches!(again, LentNicError::Absent { .. }), "{again}");
}

#[tokio::test]
async fn a_nic_that_is_taken_back_from_afar_is_parked_when_it_comes() {
    let Waiting { fabric, parking, nic, sandbox: container } = waiting().await;
    lend(&parking, &lent(nic)).await.unwrap();
    move_on(&fabric.vm, "dk0", &container, "eth0").await;
    assert!(!take_back(&parking, nic).await.unwrap());
    // What the kernel does to a virtio NIC when the container ends.
    move_on(&container, "eth0", &fabric.vm, "dev7").await;
    parking.wait_for_return(nic, PATIENCE).await;
    assert_eq!(links(&fabric.vm).await, []);
    is_spent(&parking, nic).await;
}

#[tokio::test]
async fn a_lent_nic_stays_when_the_agent_begins_anew() {
    let Waiting { fabric, parking, nic, sandbox: _ } = waiting().await;
    let path = fabric.directory.path().join("parking");
    lend(&parking, &lent(nic)).await.unwrap();
    drop(parking);
    let parking = Parking::open_beside(&path, [nic], [nic]).await.unwrap();
    fabric.park(&parking, 2).await;
    assert_eq!(links(&fabric.vm).await.len(), 1);
    drop(parking);
    // Nobody remembers that it was lent.
    let parking = fabric.parking().await;
    is_spent(&parking, nic).await;
    assert_eq!(links(&fabric.vm).await, []);
}

#[tokio::test]
async fn a_name_that_is_taken_lends_nothing() {
    let Waiting { fabric, parking, nic, sandbox: _ } = waiting().await;
    let settings = BridgeSettings { stp: false, forward_delay_cs: 0, multicast_snooping: false };
    fabric.in_vm.create_bridge("dk0", None, settings).await.unwrap();
    let error = lend(&parking, &lent(nic)).await.unwrap_err();
    assert!(matches!(error, LentNicError::NameTaken { .. }), "{error}");
    assert!(parking.waiting().borrow().free.contains(&nic));
    let absent = LentNic { name: InterfaceName::new("dk1").unwrap(), ..lent(nic_mac(9)) };
    let error = lend(&parking, &absent).await.unwrap_err();
    assert!(matches!(error, LentNicError::Absent { .. }), "{error}");
    assert_eq!(links(&fabric.vm).await.len(), 1);
}
