//! A VM, sandboxes and the wire between them, out of network namespaces that go with the test.

use ipnet::IpNet;
use nestless_guest::{
    parking::{Parking, ParkingError},
    pod_nic::{PodNic, PodRoute},
};
use nestless_model::identity::{InterfaceName, Mac, Mtu};
use nestless_support::{
    netlink::{BridgeSettings, HardwareAddress, Link, Netlink, NewAddress, OperState, VethEnd},
    netns::Namespace,
};
use std::time::Duration;

/// Long enough that only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The VM's root namespace, in which the test's thread lives, and the host's bridge in another one.
pub(crate) struct Fabric {
    pub(crate) vm: Namespace,
    _host: Namespace,
    pub(crate) on_host: Netlink,
    pub(crate) in_vm: Netlink,
    bridge: Link,
    pub(crate) directory: tempfile::TempDir,
}

impl Fabric {
    pub(crate) async fn new() -> Self {
        let vm = Namespace::anonymous().unwrap();
        let host = Namespace::anonymous().unwrap();
        vm.enter().unwrap();
        let on_host = Netlink::inside(&host).await.unwrap();
        let settings = BridgeSettings { stp: false, forward_delay_cs: 0, multicast_snooping: false };
        let bridge = on_host.create_bridge("br0", None, settings).await.unwrap();
        on_host.set_up(&bridge).await.unwrap();
        let in_vm = Netlink::here().unwrap();
        Self { vm, _host: host, on_host, in_vm, bridge, directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) async fn parking(&self) -> Parking {
        Parking::open(&self.directory.path().join("parking")).await.unwrap()
    }

    /// Plugs a NIC and waits until it is parked.
    pub(crate) async fn park(&self, parking: &Parking, number: u8) -> Mac {
        let nic = self.plug(number).await;
        parking.wait_for(nic, PATIENCE).await.unwrap();
        nic
    }

    /// Plugs a NIC: its other end is a port of the bridge.
    pub(crate) async fn plug(&self, number: u8) -> Mac {
        let mac = nic_mac(number);
        self.wire(&format!("nl{number}"), &format!("eth{number}"), Some(mac), &self.vm).await;
        mac
    }

    /// A port of the bridge whose other end is in `namespace`.
    pub(crate) async fn wire(&self, port: &str, name: &str, mac: Option<Mac>, namespace: &Namespace) {
        let peer = VethEnd {
            mac: mac.map(|mac| HardwareAddress(mac.bytes())),
            namespace: Some(namespace.clone()),
            ..VethEnd::named(name)
        };
        self.on_host.create_veth(&VethEnd::named(port), &peer).await.unwrap();
        let port = self.on_host.link(port).await.unwrap();
        self.on_host.set_master(&port, &self.bridge).await.unwrap();
        self.on_host.set_up(&port).await.unwrap();
    }

    /// A namespace on the bridge that has `addresses`: another machine, or the VM's own uplink. The bridge forwards to it
    /// from here on: a carrier is told a while after the link is set up, longer on a busy machine.
    pub(crate) async fn machine(&self, port: &str, namespace: &Namespace, addresses: &[&str]) {
        self.wire(port, "up0", None, namespace).await;
        let inside = Netlink::inside(namespace).await.unwrap();
        let link = inside.link("up0").await.unwrap();
        inside.set_up(&link).await.unwrap();
        tokio::time::timeout(PATIENCE, self.forwards_to(port)).await.expect("the bridge never forwarded");
        for address in addresses {
            let address = address.parse().unwrap();
            inside.add_address(&link, NewAddress { address, no_duplicate_detection: true }).await.unwrap();
        }
    }

    /// Without spanning tree, a port forwards from its operational state on (br_port_carrier_check() in the kernel's
    /// net/bridge/br_if.c).
    async fn forwards_to(&self, port: &str) {
        while self.on_host.link(port).await.unwrap().oper_state != OperState::Up {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        Namespace::delete(self.directory.path().join("parking")).unwrap();
    }
}

/// A NIC that waits, and a sandbox that it may go to.
pub(crate) struct Waiting {
    pub(crate) fabric: Fabric,
    pub(crate) parking: Parking,
    pub(crate) nic: Mac,
    pub(crate) sandbox: Namespace,
}

pub(crate) async fn waiting() -> Waiting {
    let fabric = Fabric::new().await;
    let parking = fabric.parking().await;
    let nic = fabric.park(&parking, 1).await;
    Waiting { fabric, parking, nic, sandbox: Namespace::anonymous().unwrap() }
}

/// Somebody has had it, and a veth cannot be made anew: it waits, and nobody gets it.
pub(crate) async fn is_spent(parking: &Parking, nic: Mac) {
    let waited = parking.wait_for(nic, PATIENCE).await;
    assert!(matches!(waited, Err(ParkingError::Spent { .. })), "{waited:?}");
    assert!(!parking.waiting().borrow().free.contains(&nic));
}

pub(crate) fn nic_mac(number: u8) -> Mac {
    Mac::new([0x4e, 0x4c, 0, 1, 0, number]).unwrap()
}

pub(crate) fn pod_nic(nic_mac: Mac, addresses: &[&str]) -> PodNic {
    PodNic {
        nic_mac,
        interface: InterfaceName::new("eth0").unwrap(),
        pod_mac: nic_mac,
        mtu: Mtu::new(1400).unwrap(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        routes: vec![],
    }
}

pub(crate) fn route(destination: &str, gateway: &str) -> PodRoute {
    let destination: IpNet = destination.parse().unwrap();
    PodRoute { destination, gateway: Some(gateway.parse().unwrap()) }
}

/// The links of a namespace that are not there from its birth.
pub(crate) async fn links(namespace: &Namespace) -> Vec<Link> {
    let links = Netlink::inside(namespace).await.unwrap().links().await.unwrap();
    links.into_iter().filter(|link| !link.loopback).collect()
}
