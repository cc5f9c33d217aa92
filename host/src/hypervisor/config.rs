//! What the operator writes about a VM's hypervisor, and the way from there to a back end.

use super::{Connected, HypervisorError, namespace::NamespaceVm, qemu::Qemu};
use nestless_model::identity::VmName;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Which back end, and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HypervisorConfig {
    /// A QEMU that nobody else manages.
    Qemu(QemuConfig),
    /// A network namespace that plays a VM.
    Namespace(NamespaceConfig),
}

impl HypervisorConfig {
    /// Where it is reached: one VM's and no other's.
    pub fn endpoint(&self) -> &Path {
        match self {
            Self::Qemu(qemu) => &qemu.qmp,
            Self::Namespace(namespace) => &namespace.path,
        }
    }
}

/// A QEMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QemuConfig {
    /// Its QMP socket (`-qmp unix:PATH,server=on,wait=off`), which must be ours alone.
    pub qmp: PathBuf,
    /// How the guest's interrupt vectors are shared out.
    #[serde(default)]
    pub vectors: VectorLimits,
}

/// How many NICs get how many MSI-X vectors. The guest's vectors run out long before the slots do: one CPU has about 195
/// for all NICs together (measured with Linux 6.1: 65 NICs of 3 vectors, or 97 of 2), and a NIC that gets none never
/// appears. One that asks for none works with a shared interrupt line, only slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VectorLimits {
    /// So many queue pairs get vectors of their own: 32 pairs take 96 of 195.
    pub full: u32,
    /// From there up to so many NICs, each gets two vectors; later ones get none: the 40 after the first 32 take 80, and
    /// 19 are left for other devices.
    pub two: u32,
}

impl Default for VectorLimits {
    fn default() -> Self {
        Self { full: 32, two: 72 }
    }
}

/// A network namespace that plays a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceConfig {
    /// Where it is bound: `/run/netns/NAME`, or `/proc/PID/ns/net`.
    pub path: PathBuf,
}

/// Begins to watch a VM's hypervisor, which need not run yet. Must be called inside a Tokio runtime, in the network
/// namespace where the host's ends are to be.
///
/// # Errors
/// When the host cannot be watched.
pub fn open(config: &HypervisorConfig, vm: &VmName) -> Result<Connected, HypervisorError> {
    match config {
        HypervisorConfig::Qemu(qemu) => Ok(Qemu::connect(qemu.clone())),
        HypervisorConfig::Namespace(namespace) => NamespaceVm::open(namespace, vm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Vm {
        hypervisor: HypervisorConfig,
    }

    fn read(text: &str) -> Result<HypervisorConfig, toml::de::Error> {
        toml::from_str::<Vm>(&format!("hypervisor = {text}")).map(|vm| vm.hypervisor)
    }

    #[test]
    fn every_back_end_is_named_by_its_key() {
        let qemu = QemuConfig { qmp: "/q".into(), vectors: VectorLimits::default() };
        assert_eq!(read("{ qemu = { qmp = '/q' } }").unwrap(), HypervisorConfig::Qemu(qemu.clone()));
        let fewer = QemuConfig { vectors: VectorLimits { full: 8, two: 72 }, ..qemu };
        assert_eq!(
            read("{ qemu = { qmp = '/q', vectors = { full = 8 } } }").unwrap(),
            HypervisorConfig::Qemu(fewer)
        );
        let namespace = NamespaceConfig { path: "/run/netns/x".into() };
        assert_eq!(
            read("{ namespace = { path = '/run/netns/x' } }").unwrap(),
            HypervisorConfig::Namespace(namespace)
        );
    }

    #[test]
    fn misspelt_keys_are_refused() {
        for bad in
            ["{ qemu = { qmp = '/q', vectros = {} } }", "{ namespace = {} }", "{ xen = {} }", "{ qemu = {} }"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
