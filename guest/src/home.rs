//! Where a NIC stands while it is in use.

use crate::{
    parking::Parking,
    pod_nic::{Device, device},
};
use nestless_model::identity::InterfaceName;
use nestless_support::{
    netlink::{Netlink, NetlinkError},
    netns::Namespace,
};

/// A NIC's home for as long as somebody has it.
#[derive(Clone, Debug)]
pub enum Home {
    /// A sandbox: the NIC is set up in it, and lives and dies with it.
    Sandbox(Namespace),
    /// The VM's own namespace, under that name: the NIC is lent to somebody who sets it up himself, and may move it on.
    Vm(InterfaceName),
}

impl Home {
    /// The name that the NIC will have there, where the one asked for is `interface`.
    pub fn link_name<'a>(&'a self, interface: &'a InterfaceName) -> &'a InterfaceName {
        match self {
            Self::Sandbox(_) => interface,
            Self::Vm(name) => name,
        }
    }

    /// Whether there is a link of that name.
    ///
    /// # Errors
    /// When the home cannot be looked into.
    pub async fn has_link(&self, parking: &Parking, name: &InterfaceName) -> Result<bool, NetlinkError> {
        Ok(Netlink::inside(self.namespace(parking)).await?.link_if_any(name.as_str()).await?.is_some())
    }

    /// The NIC's device. Nothing is told of one that has moved on.
    pub async fn device(&self, parking: &Parking, interface: &InterfaceName) -> Device {
        device(self.namespace(parking), self.link_name(interface)).await
    }

    fn namespace<'a>(&'a self, parking: &'a Parking) -> &'a Namespace {
        match self {
            Self::Sandbox(sandbox) => sandbox,
            Self::Vm(_) => parking.vm(),
        }
    }
}
