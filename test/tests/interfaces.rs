//! More than one interface for a container, called for as Multus does: the later one takes nothing from the first, and the
//! host's guard sees nothing amiss.

use ipnet::IpNet;
use nestless_lab::{Exec, Vmm};
use nestless_model::network::{Network, Subnet, Uplink};
use nestless_test::{Call, Site, agree, cni, lab, operator};
use serde_json::{Value, json};

const VM: &str = "vm1";
/// Beyond every bridge: addresses of the host's own that only a default route leads to.
const FAR: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

fn subnet(prefix: IpNet) -> Subnet {
    Subnet { prefix, gateway: None, first: None, last: None, exclude: Vec::new() }
}

/// A network beside the pods'.
fn blue() -> Network {
    Network {
        name: "blue".parse().unwrap(),
        bridge: "nlbr-blue".parse().unwrap(),
        uplink: Uplink::None,
        mtu: Default::default(),
        subnets: ["10.89.0.0/16", "fd00:89::/64"].map(|prefix| subnet(prefix.parse().unwrap())).into(),
        cool_down_s: 1,
        may_overlap: Vec::new(),
        dns: Vec::new(),
        macs: Vec::new(),
    }
}

/// A container with two interfaces.
struct Pod<'a> {
    site: &'a Site,
    name: &'a str,
    /// Of net1; eth0 is on "pods".
    network: &'a str,
}

/// An interface as ADD told it.
struct Attached {
    result: Value,
    addresses: Vec<IpNet>,
}

impl Pod<'_> {
    fn call(&self, command: &str, interface: &str) -> Call {
        let network = if interface == "eth0" { "pods" } else { self.network };
        Call::new(command, self.name).env("CNI_IFNAME", interface).conf("network", json!(network))
    }

    async fn add(&self, interface: &str) -> Attached {
        let added = self.call("ADD", interface).insist(self.site, VM).await;
        let result = added.unwrap_or_else(|failure| panic!("{}/{interface}: {failure}", self.name));
        let ips = result["ips"].as_array().unwrap();
        let addresses = ips.iter().map(|ip| ip["address"].as_str().unwrap().parse().unwrap()).collect();
        Attached { result, addresses }
    }

    async fn del(&self, interface: &str) {
        assert_eq!(self.call("DEL", interface).run(self.site, VM).await, Ok(Value::Null));
    }

    /// It is as ADD told, traffic flows both ways whichever end begins, and what it sends is its own.
    async fn works(&self, interface: &str, attached: &Attached) {
        let check = self.call("CHECK", interface).conf("prevResult", attached.result.clone());
        assert_eq!(check.run(self.site, VM).await, Ok(Value::Null), "{}/{interface}", self.name);
        for (address, far) in attached.addresses.iter().zip(FAR) {
            let (own, next_hop) = (address.addr(), subnet(address.trunc()).next_hop());
            for target in [next_hop.to_string(), far.to_owned()] {
                self.runs(&format!("busybox ping -c 1 -W 10 -I {own} {target}")).await;
            }
            let inward = Exec::shell(format!("busybox ping -c 1 -W 10 {own}"));
            let answered = self.site.host_exec(&inward).await.unwrap().success("ping the pod");
            answered.unwrap_or_else(|error| panic!("{}/{interface} {own}: {error}", self.name));
        }
        let nic = operator::nic_of_interface(self.site, self.name, interface).await.unwrap();
        let dropped = nic.guard.unwrap().dropped;
        // Both NICs hear who-has, and Linux lets either answer for the other: only that may have been stopped.
        let forged: Vec<_> =
            dropped.iter().filter(|(kind, count)| **count > 0 && !kind.contains("arp")).collect();
        assert!(forged.is_empty(), "{}/{interface}: {forged:?}", self.name);
    }

    /// Without a source address the routes decide, and they lead through this interface.
    async fn is_preferred(&self, attached: &Attached) {
        for (address, far) in attached.addresses.iter().zip(FAR) {
            self.runs(&format!("busybox ping -c 1 -W 10 {far}")).await;
            let way = self.runs(&format!("ip route get {far}")).await;
            assert!(way.contains(&format!("src {}", address.addr())), "{}: {way}", self.name);
        }
    }

    async fn runs(&self, line: &str) -> String {
        let output = self.site.pod_exec(VM, self.name, Exec::shell(line)).await.unwrap();
        output.success(line).unwrap_or_else(|error| panic!("{}: {error}", self.name)).text()
    }

    async fn lives(&self) {
        cni::sandbox(self.site, VM, self.name).await.unwrap();
        let mut eth0 = self.add("eth0").await;
        self.works("eth0", &eth0).await;
        let mut net1 = self.add("net1").await;
        for (interface, attached) in [("eth0", &eth0), ("net1", &net1)] {
            self.works(interface, attached).await;
        }
        self.is_preferred(&eth0).await;

        self.del("eth0").await;
        self.works("net1", &net1).await;
        self.is_preferred(&net1).await;
        eth0 = self.add("eth0").await;
        self.works("eth0", &eth0).await;
        self.works("net1", &net1).await;
        self.del("net1").await;
        self.works("eth0", &eth0).await;
        self.is_preferred(&eth0).await;
        net1 = self.add("net1").await;
        self.works("net1", &net1).await;

        for interface in ["eth0", "net1"] {
            self.del(interface).await;
        }
        let left =
            self.runs("ip rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all").await;
        assert!(!left.contains("table 1") && !left.contains("lookup 1"), "{left}");
        cni::drop_sandbox(self.site, VM, self.name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_interfaces_of_a_container_in_a_real_guest() {
    let builder = lab("ifs", Vmm::Qemu).nics(1, 4).further_network(blue()).programs(["ip"]);
    let site = Site::up(builder).await;
    for far in FAR {
        let given = site.host_exec(&Exec::shell(format!("ip addr add {far} dev lo"))).await.unwrap();
        given.success("give the host an address").unwrap();
    }
    for (name, network) in [("same", "pods"), ("other", "blue")] {
        Pod { site: &site, name, network }.lives().await;
    }
    agree(&site).await;
    site.holds_no_more_descriptors().await;
    site.down().await;
}
