//! What a lab is to be.

use crate::{
    daemon::{self, Settings},
    error::LabError,
    image::Program,
    names::{LabName, vm_name},
    progress::Progress,
    state::{LabState, VmRecord, Vmm},
};
use ipnet::IpNet;
use nestless_model::{
    identity::{Mtu, NetworkName, VmName},
    network::{Network, Subnet, Uplink},
    topology::{Demand, Machine, Topology},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A VM's own address is the subnet's with this added to its number, so below those that pods get.
const FIRST_VM_HOST: u32 = 10;
/// More would not fit between the gateway and the pods' first address.
const MAX_VMS: usize = 64;

/// Describes a lab; [`LabBuilder::up`] builds it.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let lab = nestless_lab::Lab::builder("demo").vms(2).up().await?;
/// let pod = lab.pod_add("vm1", "web", nestless_lab::PodOptions::default()).await?;
/// println!("{}", lab.pod_exec(pod.vm.as_str(), &pod.name, nestless_lab::Exec::shell("ip a")).await?.text());
/// lab.down().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LabBuilder {
    pub(crate) name: String,
    pub(crate) vmm: Vmm,
    pub(crate) vms: Vec<String>,
    pub(crate) with_daemon: bool,
    pub(crate) cpus: u32,
    pub(crate) memory_mib: u32,
    pub(crate) kernel_words: Vec<String>,
    pub(crate) programs: Vec<String>,
    pub(crate) packages: Vec<String>,
    pub(crate) own_programs: Vec<Program>,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) second_nic: bool,
    pub(crate) uplink: Uplink,
    pub(crate) mtu: Mtu,
    pub(crate) warm_pool: u32,
    pub(crate) nic_limit: u32,
    pub(crate) slots: Option<u32>,
    pub(crate) network: Option<fn(&mut Network)>,
    pub(crate) further_networks: Vec<Network>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) progress: Progress,
}

impl LabBuilder {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            vmm: Vmm::default(),
            vms: numbered(2),
            with_daemon: true,
            cpus: 1,
            memory_mib: 512,
            kernel_words: Vec::new(),
            programs: Vec::new(),
            packages: Vec::new(),
            own_programs: Vec::new(),
            files: Vec::new(),
            second_nic: false,
            uplink: Uplink::Nat,
            mtu: Mtu::default(),
            warm_pool: 2,
            nic_limit: 32,
            slots: None,
            network: None,
            further_networks: Vec::new(),
            environment: Vec::new(),
            progress: Progress::default(),
        }
    }

    /// What runs the VMs. Default: QEMU.
    #[must_use]
    pub fn vmm(mut self, vmm: Vmm) -> Self {
        self.vmm = vmm;
        self
    }

    /// This many VMs, called vm1, vm2 and so on. Default: 2.
    #[must_use]
    pub fn vms(mut self, count: usize) -> Self {
        self.vms = numbered(count);
        self
    }

    /// VMs with these names.
    #[must_use]
    pub fn vm_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.vms = names.into_iter().map(Into::into).collect();
        self
    }

    /// Without nestlessd and agents: only VMs on a bridge.
    #[must_use]
    pub fn without_daemon(mut self) -> Self {
        self.with_daemon = false;
        self
    }

    /// Processors and memory of each VM. Without KVM more than one processor is slower. Default: 1 and 512 MiB.
    #[must_use]
    pub fn size(mut self, cpus: u32, memory_mib: u32) -> Self {
        (self.cpus, self.memory_mib) = (cpus, memory_mib);
        self
    }

    /// A word more on the command line of QEMU guests' kernels.
    #[must_use]
    pub fn kernel_word(mut self, word: impl Into<String>) -> Self {
        self.kernel_words.push(word.into());
        self
    }

    /// Programs of this host that the guests get too, with their libraries: names to look for in PATH and
    /// /usr/lib/cni, or paths. Namespace VMs see the host's anyway.
    #[must_use]
    pub fn programs<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.programs.extend(names.into_iter().map(Into::into));
        self
    }

    /// Debian packages of this host that QEMU guests get too, as they are installed here, with their accounts and
    /// libraries: names, or dpkg-query's wildcards ("libpython3*-stdlib"). Namespace VMs see the host's anyway.
    #[must_use]
    pub fn packages<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.packages.extend(names.into_iter().map(Into::into));
        self
    }

    /// A program of this project, beside this one or in `$NESTLESS_BIN_DIR`, that the VMs find in their PATH.
    #[must_use]
    pub fn own_program(mut self, program: Program) -> Self {
        self.own_programs.push(program);
        self
    }

    /// A second NIC from the start in every VM, on the same bridge, down and without addresses: see [`Lab::second_mac`].
    ///
    /// [`Lab::second_mac`]: crate::Lab::second_mac
    #[must_use]
    pub fn second_nic(mut self) -> Self {
        self.second_nic = true;
        self
    }

    /// A file that QEMU guests have from the start.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// How the pods' network leaves the host. Default: NAT.
    #[must_use]
    pub fn uplink(mut self, uplink: Uplink) -> Self {
        self.uplink = uplink;
        self
    }

    /// The pods' network's MTU. Default: 1500 bytes.
    #[must_use]
    pub fn mtu(mut self, mtu: Mtu) -> Self {
        self.mtu = mtu;
        self
    }

    /// Spare NICs that each VM keeps, and NICs that it may have; a QEMU VM gets as many slots. Default: 2 and 32.
    #[must_use]
    pub fn nics(mut self, warm_pool: u32, limit: u32) -> Self {
        (self.warm_pool, self.nic_limit) = (warm_pool, limit);
        self
    }

    /// Another number of slots for NICs in a QEMU VM than its limit of NICs would need.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = Some(slots);
        self
    }

    /// Changes the pods' network before the daemon is told of it.
    #[must_use]
    pub fn network(mut self, change: fn(&mut Network)) -> Self {
        self.network = Some(change);
        self
    }

    /// A network of the daemon's beside the pods' network. Its NICs are never spare.
    #[must_use]
    pub fn further_network(mut self, network: Network) -> Self {
        self.further_networks.push(network);
        self
    }

    /// Sets a variable for nestlessd, such as NESTLESS_LOG or NESTLESS_CRASH_AT.
    #[must_use]
    pub fn daemon_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Tells each step as it begins.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    pub(crate) fn plan(&self) -> Result<LabState, LabError> {
        let name = LabName::new(self.name.clone())?;
        let names = self.vms.iter().map(|vm| vm_name(vm)).collect::<Result<Vec<VmName>, _>>()?;
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        if names.is_empty() || names.len() > MAX_VMS || distinct.len() != names.len() {
            return Err(LabError::Vms { count: names.len(), max: MAX_VMS });
        }
        let vms = (0..).zip(names).map(|(number, name)| VmRecord {
            name,
            addresses: prefixes().into_iter().map(|prefix| host(prefix, FIRST_VM_HOST + number)).collect(),
            process: None,
        });
        Ok(LabState {
            name,
            vmm: self.vmm,
            ready: false,
            bridge: daemon::bridge_name(),
            subnets: prefixes(),
            daemon: None,
            vms: vms.collect(),
        })
    }

    /// What QEMU's VMs need for their NICs.
    pub(crate) fn topology(&self) -> Result<Topology, LabError> {
        let demand = Demand {
            nics: self.slots.unwrap_or(self.nic_limit),
            vcpus: self.cpus,
            machine: Machine::Q35,
            queues: 1,
        };
        Ok(Topology::plan(demand)?)
    }

    pub(crate) fn settings(&self) -> Settings {
        let subnets = prefixes().into_iter().map(|prefix| Subnet {
            prefix,
            gateway: Some(gateway(prefix)),
            first: Some(host(prefix, 0x100).addr()),
            last: None,
            exclude: Vec::new(),
        });
        let mut network = Network {
            name: NetworkName::new("pods").expect("four letters are a network name"),
            bridge: daemon::bridge_name(),
            uplink: self.uplink.clone(),
            mtu: self.mtu,
            subnets: subnets.collect(),
            cool_down_s: 1,
            may_overlap: Vec::new(),
            dns: Vec::new(),
            // For documentation (RFC 9542), and locally administered.
            macs: vec!["02:00:5e".parse().expect("six hexadecimal digits begin a MAC address")],
        };
        if let Some(change) = self.network {
            change(&mut network);
        }
        Settings {
            networks: std::iter::once(network).chain(self.further_networks.iter().cloned()).collect(),
            warm_pool: self.warm_pool,
            nic_limit: self.nic_limit,
            environment: self.environment.clone(),
        }
    }
}

fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("vm{number}")).collect()
}

/// Every lab has a host of its own, so that all may use the same.
fn prefixes() -> Vec<IpNet> {
    let v4 = ipnet::Ipv4Net::new_assert(Ipv4Addr::new(10, 78, 0, 0), 16);
    let v6 = ipnet::Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x78, 0, 0, 0, 0, 0, 0), 64);
    vec![v4.into(), v6.into()]
}

pub(crate) fn gateway(prefix: IpNet) -> IpAddr {
    host(prefix, 1).addr()
}

/// The subnet's address number `number`, with the subnet's prefix length.
fn host(prefix: IpNet, number: u32) -> IpNet {
    let address = match prefix.network() {
        IpAddr::V4(base) => IpAddr::from(Ipv4Addr::from_bits(base.to_bits() + number)),
        IpAddr::V6(base) => IpAddr::from(Ipv6Addr::from_bits(base.to_bits() + u128::from(number))),
    };
    IpNet::new(address, prefix.prefix_len()).expect("the length is that of a prefix of the same family")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vms_and_pods_never_share_an_address() {
        let builder = LabBuilder::new("a").vms(MAX_VMS);
        let state = builder.plan().unwrap();
        for subnet in &builder.settings().networks[0].subnets {
            let first = subnet.first.unwrap();
            for vm in &state.vms {
                let own = vm.addresses.iter().find(|a| subnet.prefix.contains(*a)).unwrap();
                assert!(own.addr() < first && own.addr() > subnet.gateway.unwrap());
            }
        }
    }

    #[test]
    fn what_cannot_be_built_is_refused_before_anything_is_done() {
        assert!(matches!(LabBuilder::new("a/b").plan(), Err(LabError::Name(_))));
        assert!(matches!(LabBuilder::new("a").vm_names(["host"]).plan(), Err(LabError::Name(_))));
        assert!(matches!(LabBuilder::new("a").vm_names(["x", "x"]).plan(), Err(LabError::Vms { .. })));
        assert!(matches!(LabBuilder::new("a").vms(0).plan(), Err(LabError::Vms { .. })));
        assert!(matches!(LabBuilder::new("a").nics(2, 5000).topology(), Err(LabError::Topology(_))));
    }
}
