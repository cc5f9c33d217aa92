//! All back ends: the one place that knows each of them.

use super::{
    back_end::{BackEnd as _, Connected, Hypervisor as _, Kind},
    error::HypervisorError,
    namespace::{NamespaceBackEnd, NamespaceConfig, NamespaceVm},
    qemu::{Qemu, QemuBackEnd, QemuConfig},
    vm_hypervisor::VmHypervisor,
};
use nestless_model::identity::VmName;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which back end runs a VM, and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HypervisorConfig {
    /// A QEMU that nobody else manages.
    Qemu(QemuConfig),
    /// A network namespace that plays a VM.
    Namespace(NamespaceConfig),
}

impl HypervisorConfig {
    /// Where it is reached: one VM's and no other's, however its path is written.
    pub fn endpoint(&self) -> String {
        let path = match self {
            Self::Qemu(qemu) => &qemu.qmp,
            Self::Namespace(namespace) => &namespace.path,
        };
        path.components().collect::<PathBuf>().display().to_string()
    }

    /// What holds for every VM of that back end.
    pub fn kind(&self) -> &'static Kind {
        match self {
            Self::Qemu(_) => Qemu::KIND,
            Self::Namespace(_) => NamespaceVm::KIND,
        }
    }
}

/// The back ends of a host. None does anything before the first VM of its own.
#[derive(Default)]
pub struct BackEnds {
    qemu: QemuBackEnd,
    namespace: NamespaceBackEnd,
}

impl BackEnds {
    /// Begins to watch a VM's hypervisor; as [`super::BackEnd::connect`].
    ///
    /// # Errors
    /// When the host cannot be watched.
    pub fn connect(
        &mut self,
        vm: &VmName,
        config: &HypervisorConfig,
    ) -> Result<Connected<Box<dyn VmHypervisor>>, HypervisorError> {
        Ok(match config {
            HypervisorConfig::Qemu(config) => self.qemu.connect(vm, config)?.erased(),
            HypervisorConfig::Namespace(config) => self.namespace.connect(vm, config)?.erased(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::qemu::VectorLimits, *};

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
    fn an_endpoint_is_the_same_however_it_is_written() {
        let endpoint = |path| read(&format!("{{ qemu = {{ qmp = '{path}' }} }}")).unwrap().endpoint();
        assert_eq!(endpoint("/run//./q.sock"), endpoint("/run/q.sock"));
        assert_ne!(endpoint("/run/q.sock"), endpoint("/run/q/sock"));
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
