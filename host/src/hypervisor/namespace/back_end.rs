//! Namespaces as a back end.

use super::{config::NamespaceConfig, vm::NamespaceVm, watch};
use crate::hypervisor::{BackEnd, Connected, HypervisorError};
use nestless_model::identity::VmName;
use nestless_support::netlink::{Netlink, NetlinkError};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Events that wait for the VM's task.
const EVENT_BACKLOG: usize = 256;

/// Namespaces that play VMs. They share a channel to the host's links.
#[derive(Default)]
pub struct NamespaceBackEnd {
    host: Option<Netlink>,
}

impl NamespaceBackEnd {
    fn host(&mut self) -> Result<Netlink, NetlinkError> {
        match &self.host {
            Some(host) => Ok(host.clone()),
            None => Ok(self.host.insert(Netlink::here()?).clone()),
        }
    }
}

impl BackEnd for NamespaceBackEnd {
    type Config = NamespaceConfig;
    type Vm = NamespaceVm;

    fn connect(
        &mut self,
        vm: &VmName,
        NamespaceConfig { path }: &NamespaceConfig,
    ) -> Result<Connected<NamespaceVm>, HypervisorError> {
        let (events, receiver) = mpsc::channel(EVENT_BACKLOG);
        let failed = |source: NetlinkError| HypervisorError::Observe {
            endpoint: path.display().to_string(),
            source: source.into(),
        };
        let (host, made) = (self.host().map_err(failed)?, Arc::default());
        let watch = watch::start(path.clone(), vm.clone(), Arc::clone(&made), events).map_err(failed)?;
        let hypervisor = NamespaceVm { path: path.clone(), vm: vm.clone(), host, made, _watch: watch };
        Ok(Connected { hypervisor, events: receiver })
    }
}
