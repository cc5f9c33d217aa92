//! What a lab is, written down before it is built: whoever comes later knows what may be there.

use crate::{names::LabName, process::ProcessRecord};
use ipnet::IpNet;
use nestless_model::identity::{LinkName, VmName};
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf};

/// What runs the VMs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vmm {
    /// Real virtual machines.
    #[default]
    Qemu,
    /// Namespaces of this host: no guest kernel, and up in a moment.
    Namespace,
}

impl std::fmt::Display for Vmm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Qemu => "qemu",
            Self::Namespace => "namespace",
        })
    }
}

/// A lab, as its state file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabState {
    /// Its name.
    pub name: LabName,
    /// What runs its VMs.
    pub vmm: Vmm,
    /// Built to the end.
    pub ready: bool,
    /// The bridge on its host.
    pub bridge: LinkName,
    /// The subnets on the bridge.
    pub subnets: Vec<IpNet>,
    /// nestlessd, if the lab has it and it was started.
    pub daemon: Option<ProcessRecord>,
    /// Its VMs.
    pub vms: Vec<VmRecord>,
}

/// A VM of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmRecord {
    /// Its name.
    pub name: VmName,
    /// Of its own NIC.
    pub addresses: Vec<IpNet>,
    /// QEMU, or the namespaces' keeper, once it was started.
    pub process: Option<ProcessRecord>,
}

/// The state file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path}")]
pub struct StateError {
    /// "read", "write".
    pub operation: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl LabState {
    /// Reads it; `None` when there is no such lab.
    pub(crate) fn read(name: &LabName) -> Result<Option<Self>, StateError> {
        let path = name.state_file();
        let failed = |source| StateError { operation: "read", path: path.clone(), source };
        match std::fs::read(&path) {
            Ok(content) => serde_json::from_slice(&content).map(Some).map_err(|e| failed(e.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self) -> Result<(), StateError> {
        let path = self.name.state_file();
        let partial = path.with_extension("partial");
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other);
        text.and_then(|text| std::fs::write(&partial, text))
            .and_then(|()| std::fs::rename(&partial, &path))
            .map_err(|source| StateError { operation: "write", path, source })
    }

    /// The VM called `name`.
    pub fn vm(&self, name: &VmName) -> Option<&VmRecord> {
        self.vms.iter().find(|vm| vm.name == *name)
    }
}
