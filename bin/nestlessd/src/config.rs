//! The daemon's configuration file. Every key is documented in `docs/host.md`.

use crate::{
    config_fault::{ConfigError, Fault},
    toml_section::Document,
};
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
#[derive(Debug)]
pub struct Config {
    /// What is in no section.
    pub(crate) host: HostConfig,
    pub(crate) networks: Vec<Network>,
    pub(crate) vms: Vec<Vm>,
    pub(crate) tls: Option<Tls>,
}

/// The daemon itself.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostConfig {
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
}

/// One VM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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
#[derive(Debug, PartialEq, Eq, Deserialize)]
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
    /// With the file, and everything that is wrong with it: the line, the key and what was expected.
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
        let mut document = Document::of(text);
        let (networks, vms, tls) = (document.tables("network"), document.tables("vm"), document.table("tls"));
        let host: Option<HostConfig> = document.rest();
        let mut faults: Vec<Fault> = document.faults().into_iter().map(Fault::from).collect();
        // What a section that cannot be read would have said is missing nowhere.
        let whole = faults.is_empty();
        let config = Self { host: host.unwrap_or_default(), networks, vms, tls };
        faults.extend(config.faults(whole));
        if faults.is_empty() {
            return Ok(config);
        }
        Err(ConfigError::Faults { path: path.to_owned(), faults })
    }

    /// Keeps the kernel objects of several daemons on one host apart: the last part of `pin_dir`.
    pub(crate) fn instance(&self) -> String {
        self.host
            .pin_dir
            .file_name()
            .map_or_else(|| "host".to_owned(), |name| name.to_string_lossy().into_owned())
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

    /// One of the VMs.
    pub(crate) fn vm(&self, name: &VmName) -> Option<&Vm> {
        self.vms.iter().find(|vm| vm.name == *name)
    }

    /// Whose the VMs are.
    pub(crate) fn tenants(&self) -> BTreeMap<VmName, TenantName> {
        self.vms.iter().filter_map(|vm| Some((vm.name.clone(), vm.tenant.clone()?))).collect()
    }

    /// MAC addresses that pods of single VMs may ask for.
    pub(crate) fn macs(&self) -> BTreeMap<VmName, Vec<MacPrefix>> {
        self.vms.iter().map(|vm| (vm.name.clone(), vm.macs.clone())).collect()
    }

    /// All that is wrong with what could be read. Where it is not the `whole` file, nothing is said to be missing.
    fn faults(&self, whole: bool) -> Vec<Fault> {
        let mut faults = self.network_faults();
        if whole && self.networks.is_empty() {
            faults.push(Fault::NoNetwork);
        }
        for (key, path) in self.paths() {
            if !path.is_absolute() {
                faults.push(Fault::Relative { key, path: path.to_owned() });
            }
        }
        let mut names = BTreeMap::new();
        let mut channels: BTreeMap<String, &VmName> = BTreeMap::new();
        let mut endpoints: BTreeMap<String, &VmName> = BTreeMap::new();
        for vm in &self.vms {
            if names.insert(&vm.name, ()).is_some() {
                faults.push(Fault::TwoVms { vm: vm.name.clone() });
                continue;
            }
            if let Some(other) = channels.insert(vm.channel.identity(), &vm.name) {
                faults.push(Fault::OneChannel { vm: vm.name.clone(), other: other.clone() });
            }
            let endpoint = vm.hypervisor.endpoint();
            if let Some(other) = endpoints.insert(endpoint.clone(), &vm.name) {
                faults.push(Fault::OneHypervisor { vm: vm.name.clone(), other: other.clone(), endpoint });
            }
            faults.extend(self.vm_faults(vm, whole));
        }
        faults
    }

    /// One for each network that cannot be, or not beside those before it.
    fn network_faults(&self) -> Vec<Fault> {
        let (mut right, mut faults) = (Vec::new(), Vec::new());
        for network in &self.networks {
            right.push(network.clone());
            if let Err(fault) = nestless_model::network::check(&right) {
                faults.push(fault.into());
                right.pop();
            }
        }
        faults
    }

    /// Every path of the file, by its key.
    fn paths(&self) -> Vec<(String, &Path)> {
        let HostConfig { state_dir, run_dir, pin_dir, .. } = &self.host;
        let mut paths: Vec<(String, &Path)> =
            [("state_dir", state_dir), ("run_dir", run_dir), ("pin_dir", pin_dir)]
                .map(|(key, path)| (key.to_owned(), path.as_path()))
                .into();
        for Vm { name, hypervisor, channel, .. } in &self.vms {
            let (key, path) = match hypervisor {
                HypervisorConfig::Qemu(qemu) => ("qemu.qmp", &qemu.qmp),
                HypervisorConfig::Namespace(namespace) => ("namespace.path", &namespace.path),
            };
            paths.push((format!("[[vm]] {name}: hypervisor.{key}"), path));
            match channel {
                Channel::Serial(path) => paths.push((format!("[[vm]] {name}: channel.serial"), path)),
                Channel::Unix(path) => paths.push((format!("[[vm]] {name}: channel.unix"), path)),
                Channel::VsockCid(_) | Channel::Certificate(_) => {}
            }
        }
        if let Some(Tls { certificate, key, client_ca, .. }) = &self.tls {
            let files = [("certificate", certificate), ("key", key), ("client_ca", client_ca)];
            paths.extend(files.map(|(key, path)| (format!("[tls]: {key}"), path.as_path())));
        }
        paths
    }

    fn vm_faults(&self, vm: &Vm, whole: bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        let unknown = |name: &&NetworkName| !self.networks.iter().any(|network| network.name == **name);
        if let Some(network) = vm.default_network.as_ref().filter(unknown).filter(|_| whole) {
            faults.push(Fault::UnknownNetwork { vm: vm.name.clone(), network: network.clone() });
        }
        let mut range = |wrong: bool, key: &'static str, expected: Cow<'static, str>| {
            wrong.then(|| faults.push(Fault::Range { vm: vm.name.clone(), key, expected }))
        };
        range(vm.nic_limit == 0 || vm.nic_limit > 1024, "nic_limit", "1 to 1024".into());
        range(vm.warm_pool > vm.nic_limit, "warm_pool", "at most nic_limit".into());
        let fewer = vm.warm_pool_max.is_some_and(|max| max < vm.warm_pool);
        range(fewer, "warm_pool_max", "at least warm_pool".into());
        let max_queues = vm.hypervisor.kind().max_queues;
        let queues = vm.queues == 0 || vm.queues > max_queues;
        range(queues, "queues", format!("1 to {max_queues}").into());
        let reserved = matches!(vm.channel, Channel::VsockCid(0..3));
        range(reserved, "channel.vsock-cid", "3 or more (0 to 2 are reserved)".into());
        if whole && matches!(vm.channel, Channel::Certificate(_)) && self.tls.is_none() {
            faults.push(Fault::NoTls { vm: vm.name.clone() });
        }
        faults
    }
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            state_dir: default_state_dir(),
            run_dir: default_run_dir(),
            pin_dir: default_pin_dir(),
            host_id: None,
        }
    }
}

impl Channel {
    /// The same for one channel however its path is written.
    fn identity(&self) -> String {
        let path = |path: &Path| path.components().collect::<PathBuf>().display().to_string();
        match self {
            Self::Serial(socket) | Self::Unix(socket) => path(socket),
            Self::VsockCid(cid) => format!("vsock {cid}"),
            Self::Certificate(name) => format!("certificate {name}"),
        }
    }
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
        Config::read(&path).map_err(|error| error.to_string())
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

    #[test]
    fn all_faults_are_told_at_once() {
        let vm = GOOD.split_once("[[vm]]").unwrap().1;
        let text = GOOD.replace("bridge = ", "brigde = ").replace("name = \"pods\"", "name = 7")
            + "[[vm]]"
            + &vm.replace("vm1\"", "vm 2\"")
            + "warm_pool = -1\n"
            + "[[vm]]"
            + &vm.replace("vm1\"", "vm3\"").replace("/run/vm1.qmp", "vm3.qmp")
            + "nic_limit = 0\n";
        let text = format!("state_dri = \"/x\"\nhost_id = 70000\n{text}");
        let error = read(&text).unwrap_err();
        let faults = [
            "unknown field `state_dri`",
            "70000",
            "line 5",
            "unknown field `brigde`",
            "-1",
            "\"vm 2\"",
            "[[vm]] vm3: hypervisor.qemu.qmp is \"vm3.qmp\", a relative path",
            "its channel is VM vm1's too",
            "nic_limit must be 1 to 1024",
        ];
        for words in faults {
            assert!(error.contains(words), "no {words:?} in: {error}");
        }
        for follows in ["missing field", "there is no [[network]]"] {
            assert!(!error.contains(follows), "{error}");
        }
    }

    #[test]
    fn every_path_begins_at_the_root() {
        for (from, to, expected) in [
            ("/run/vm1.qmp", "vm1.qmp", "[[vm]] vm1: hypervisor.qemu.qmp is \"vm1.qmp\", a relative path"),
            ("/run/vm1.channel", "vm1.channel", "[[vm]] vm1: channel.serial is"),
            (
                "qemu = { qmp = \"/run/vm1.qmp\" }",
                "namespace = { path = \"netns/a\" }",
                "hypervisor.namespace.path",
            ),
        ] {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(expected), "no {expected:?} in: {error}");
        }
        for key in ["state_dir", "run_dir", "pin_dir"] {
            let error = read(&format!("{key} = \"here\"\n{GOOD}")).unwrap_err();
            assert!(error.contains(&format!("{key} is \"here\", a relative path")), "{error}");
        }
    }

    #[test]
    fn a_channel_is_one_however_its_path_is_written() {
        let vm = GOOD.split_once("[[vm]]").unwrap().1;
        let vm = vm.replace("vm1\"", "vm2\"").replace("vm1.qmp", "vm2.qmp");
        let error = read(&format!("{GOOD}\n[[vm]]{}", vm.replace("/run/vm1", "/run/./vm1"))).unwrap_err();
        assert!(error.contains("its channel is VM vm1's too"), "{error}");
    }
}
