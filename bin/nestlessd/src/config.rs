//! The daemon's configuration file. Every key is documented in `docs/host.md`.

use nestless_host::hypervisor::HypervisorConfig;
use nestless_model::{
    attachment::Limits,
    identity::{MacPrefix, NetworkName, TenantName, VmName},
    network::Network,
};
use serde::Deserialize;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The ledger's folder.
    #[serde(default = "default_state_dir")]
    pub(crate) state_dir: PathBuf,
    /// The operator's socket's folder.
    #[serde(default = "default_run_dir")]
    pub(crate) run_dir: PathBuf,
    /// Where programs and maps are pinned; below a bpf file system.
    #[serde(default = "default_pin_dir")]
    pub(crate) pin_dir: PathBuf,
    /// Tells the MAC addresses of two hosts on one network apart. Default: derived from the machine id.
    pub(crate) host_id: Option<u16>,
    #[serde(rename = "network")]
    pub(crate) networks: Vec<Network>,
    #[serde(rename = "vm", default)]
    pub(crate) vms: Vec<Vm>,
    pub(crate) tls: Option<Tls>,
}

/// One VM.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vm {
    pub(crate) name: VmName,
    pub(crate) hypervisor: HypervisorConfig,
    pub(crate) channel: Channel,
    /// Default: the first network of the file.
    pub(crate) default_network: Option<NetworkName>,
    /// Spare NICs to keep plugged.
    #[serde(default = "default_warm_pool")]
    pub(crate) warm_pool: u32,
    /// Spare NICs to keep when pods give theirs back. Default: twice `warm_pool`.
    pub(crate) warm_pool_max: Option<u32>,
    /// NICs at most, spare ones included.
    #[serde(default = "default_nic_limit")]
    pub(crate) nic_limit: u32,
    /// VMs of one tenant may have fractions of one pod. Without it, a VM shares loopback groups with no other.
    pub(crate) tenant: Option<TenantName>,
    /// MAC addresses that its pods may ask for, besides those of the network.
    #[serde(default)]
    pub(crate) macs: Vec<MacPrefix>,
    /// Pairs of queues per NIC.
    #[serde(default = "default_queues")]
    pub(crate) queues: u16,
}

/// How the VM's agent calls the host: this is the VM's identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Channel {
    /// A virtio-serial port's socket, on which the hypervisor listens.
    Serial(PathBuf),
    /// A socket of the VM's own, on which the daemon listens (hybrid vsock).
    Unix(PathBuf),
    /// The VM's AF_VSOCK context id.
    VsockCid(u32),
    /// The DNS name in the certificate that the agent shows over TCP.
    Certificate(String),
}

/// Mutual TLS over TCP.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) listen: SocketAddr,
    /// PEM, the daemon's own.
    pub(crate) certificate: PathBuf,
    /// PEM.
    pub(crate) key: PathBuf,
    /// PEM, what signs the agents' certificates.
    pub(crate) client_ca: PathBuf,
}

fn default_state_dir() -> PathBuf {
    "/var/lib/nestless".into()
}
fn default_run_dir() -> PathBuf {
    "/run/nestless".into()
}
fn default_pin_dir() -> PathBuf {
    "/sys/fs/bpf/nestless/host".into()
}
fn default_warm_pool() -> u32 {
    8
}
fn default_nic_limit() -> u32 {
    64
}
fn default_queues() -> u16 {
    1
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// With the file, the line, the key and what was expected.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Checks the text of a file; `path` is only told.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        config.check().map_err(|fault| ConfigError::Fault { path: path.to_owned(), fault })?;
        Ok(config)
    }

    /// Keeps the kernel objects of several daemons on one host apart: the last part of `pin_dir`.
    pub(crate) fn instance(&self) -> String {
        self.pin_dir.file_name().map_or_else(|| "host".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// What the operator fixed for a VM. The configuration must have been checked.
    pub(crate) fn limits(&self, vm: &Vm) -> Limits {
        let network =
            vm.default_network.as_ref().and_then(|name| self.networks.iter().find(|n| n.name == *name));
        let network = network.unwrap_or(&self.networks[0]);
        Limits {
            nic_limit: vm.nic_limit,
            warm_pool: vm.warm_pool,
            warm_pool_max: vm.warm_pool_max.unwrap_or(vm.warm_pool.saturating_mul(2)),
            default_network: network.name.clone(),
            mtu: network.mtu,
        }
    }

    /// Whose the VMs are.
    pub(crate) fn tenants(&self) -> BTreeMap<VmName, TenantName> {
        self.vms.iter().filter_map(|vm| Some((vm.name.clone(), vm.tenant.clone()?))).collect()
    }

    /// MAC addresses that pods of single VMs may ask for.
    pub(crate) fn macs(&self) -> BTreeMap<VmName, Vec<MacPrefix>> {
        self.vms.iter().map(|vm| (vm.name.clone(), vm.macs.clone())).collect()
    }

    fn check(&self) -> Result<(), Fault> {
        if self.networks.is_empty() {
            return Err(Fault::NoNetwork);
        }
        nestless_model::network::check(&self.networks)?;
        let mut names = BTreeMap::new();
        let mut channels: BTreeMap<String, &VmName> = BTreeMap::new();
        let mut endpoints: BTreeMap<String, &VmName> = BTreeMap::new();
        for vm in &self.vms {
            if names.insert(&vm.name, ()).is_some() {
                return Err(Fault::TwoVms { vm: vm.name.clone() });
            }
            if let Some(other) = channels.insert(format!("{:?}", vm.channel), &vm.name) {
                return Err(Fault::OneChannel { vm: vm.name.clone(), other: other.clone() });
            }
            let endpoint = vm.hypervisor.endpoint();
            if let Some(other) = endpoints.insert(endpoint.clone(), &vm.name) {
                return Err(Fault::OneHypervisor { vm: vm.name.clone(), other: other.clone(), endpoint });
            }
            self.check_vm(vm)?;
        }
        Ok(())
    }

    fn check_vm(&self, vm: &Vm) -> Result<(), Fault> {
        let name = || vm.name.clone();
        if let Some(network) =
            vm.default_network.as_ref().filter(|name| !self.networks.iter().any(|n| n.name == **name))
        {
            return Err(Fault::UnknownNetwork { vm: name(), network: network.clone() });
        }
        if vm.nic_limit == 0 || vm.nic_limit > 1024 {
            return Err(Fault::Range { vm: name(), key: "nic_limit", expected: "1 to 1024".into() });
        }
        if vm.warm_pool > vm.nic_limit {
            return Err(Fault::Range { vm: name(), key: "warm_pool", expected: "at most nic_limit".into() });
        }
        if vm.warm_pool_max.is_some_and(|max| max < vm.warm_pool) {
            return Err(Fault::Range {
                vm: name(),
                key: "warm_pool_max",
                expected: "at least warm_pool".into(),
            });
        }
        let max_queues = vm.hypervisor.kind().max_queues;
        if vm.queues == 0 || vm.queues > max_queues {
            let expected = format!("1 to {max_queues}").into();
            return Err(Fault::Range { vm: name(), key: "queues", expected });
        }
        if let Channel::VsockCid(cid) = vm.channel
            && cid < 3
        {
            return Err(Fault::Range {
                vm: name(),
                key: "channel.vsock-cid",
                expected: "3 or more (0 to 2 are reserved)".into(),
            });
        }
        if matches!(vm.channel, Channel::Certificate(_)) && self.tls.is_none() {
            return Err(Fault::NoTls { vm: name() });
        }
        Ok(())
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are the objects named in each message")]
pub enum ConfigError {
    #[error("read configuration {}: name another with --config FILE", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("configuration {}", path.display())]
    Syntax {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("configuration {}", path.display())]
    Fault {
        path: PathBuf,
        #[source]
        fault: Fault,
    },
}

/// What is wrong with a configuration that reads well.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each message says it")]
pub enum Fault {
    #[error("there is no [[network]]: pods need at least one")]
    NoNetwork,
    #[error(transparent)]
    Network(#[from] nestless_model::network::NetworkError),
    #[error("[[vm]] {vm} stands there twice")]
    TwoVms { vm: VmName },
    #[error("[[vm]] {vm}: its channel is VM {other}'s too, and a channel is a VM's identity")]
    OneChannel { vm: VmName, other: VmName },
    #[error("[[vm]] {vm}: its hypervisor, {endpoint}, is VM {other}'s too")]
    OneHypervisor { vm: VmName, other: VmName, endpoint: String },
    #[error("[[vm]] {vm}: default_network {network} is no [[network]] of this file")]
    UnknownNetwork { vm: VmName, network: NetworkName },
    #[error("[[vm]] {vm}: {key} must be {expected}")]
    Range { vm: VmName, key: &'static str, expected: Cow<'static, str> },
    #[error("[[vm]] {vm}: channel.certificate needs a [tls] section")]
    NoTls { vm: VmName },
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[network]]
        name = "pods"
        bridge = "nestless0"
        subnets = [{ prefix = "10.78.0.0/16" }, { prefix = "fd00:78::/64" }]

        [[vm]]
        name = "vm1"
        hypervisor = { qemu = { qmp = "/run/vm1.qmp" } }
        channel = { serial = "/run/vm1.channel" }
    "#;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nestlessd.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|error| format!("{:#}", anyhow::Error::new(error)))
    }

    #[test]
    fn reads_the_least_there_may_be() {
        let config = read(GOOD).unwrap();
        let limits = config.limits(&config.vms[0]);
        assert_eq!((limits.nic_limit, limits.warm_pool, limits.warm_pool_max), (64, 8, 16));
        assert_eq!(limits.default_network.as_str(), "pods");
    }

    #[test]
    fn says_file_line_key_and_what_was_expected() {
        for (from, to, expected) in [
            (
                "bridge = ",
                "brigde = ",
                &["nestlessd.toml", "line 4", "unknown field `brigde`", "expected"][..],
            ),
            ("\"nestless0\"", "7", &["line 4", "bridge", "expected a string"]),
            ("\"nestless0\"", "\"no spaces please\"", &["line 4", "is not a link name: expected"]),
            ("10.78.0.0/16", "10.78.0.0/99", &["line 5", "prefix"]),
            ("subnets = ", "macs = [\"4e:4c\"]\nsubnets = ", &["line 5", "4e:4c has room for the NICs'"]),
            ("serial = ", "telepathy = ", &["line 10", "unknown variant `telepathy`", "serial"]),
        ] {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            for words in expected {
                assert!(error.contains(words), "no {words:?} in: {error}");
            }
        }
    }

    #[test]
    fn refuses_what_cannot_work() {
        let vm = GOOD.split_once("[[vm]]").unwrap().1;
        for (text, expected) in [
            (format!("{GOOD}\n[[vm]]{vm}"), "[[vm]] vm1 stands there twice"),
            (format!("{GOOD}\n[[vm]]{}", vm.replace("vm1\"", "vm2\"")), "its channel is VM vm1's too"),
            (
                format!(
                    "{GOOD}\n[[vm]]{}",
                    vm.replace("vm1\"", "vm2\"").replace("vm1.channel", "vm2.channel")
                ),
                "[[vm]] vm2: its hypervisor, /run/vm1.qmp, is VM vm1's too",
            ),
            (format!("{GOOD}\ndefault_network = \"other\""), "default_network other is no [[network]]"),
            (format!("{GOOD}\nwarm_pool = 65"), "warm_pool must be at most nic_limit"),
            (format!("{GOOD}\nqueues = 0"), "queues must be 1 to 16"),
            (
                GOOD.replace("serial = \"/run/vm1.channel\"", "vsock-cid = 2"),
                "channel.vsock-cid must be 3 or more",
            ),
            (GOOD.replace("serial = \"/run/vm1.channel\"", "certificate = \"vm1\""), "needs a [tls] section"),
            ("network = []".to_owned(), "there is no [[network]]"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected), "no {expected:?} in: {error}");
        }
    }
}
