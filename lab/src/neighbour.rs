//! A machine on the pods' bridge that is no VM: what a pod's traffic comes from and goes to.

use crate::{
    error::LabError,
    guest::{Exec, Output},
    lab::{Lab, run_to_end},
    process,
};
use ipnet::IpNet;
use nestless_support::{
    netlink::{Netlink, NewAddress, VethEnd},
    netns::Namespace,
};
use tokio::process::Command;

const INTERFACE: &str = "eth0";

/// A network namespace with one address on the bridge. It has no name, and so goes with this value and the programs in
/// it.
#[derive(Debug)]
pub struct Neighbour {
    namespace: Namespace,
    address: IpNet,
}

impl Lab {
    /// Adds a neighbour whose link on the host is called `link`. The address is to be one that the daemon gives no pod.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn neighbour(&self, link: &str, address: IpNet) -> Result<Neighbour, LabError> {
        let namespace = Namespace::anonymous()?;
        let host = Netlink::inside(&self.host).await?;
        let inside = VethEnd { namespace: Some(namespace.clone()), ..VethEnd::named(INTERFACE) };
        host.create_veth(&VethEnd::named(link), &inside).await?;
        let port = host.link(link).await?;
        let bridge = host.link(self.state.bridge.as_str()).await?;
        host.set_mtu(&port, bridge.mtu_bytes).await?;
        host.set_master(&port, &bridge).await?;
        host.set_up(&port).await?;
        let netlink = Netlink::inside(&namespace).await?;
        netlink.set_up(&netlink.link("lo").await?).await?;
        let nic = netlink.link(INTERFACE).await?;
        netlink.set_mtu(&nic, bridge.mtu_bytes).await?;
        netlink.add_address(&nic, NewAddress { address, no_duplicate_detection: true }).await?;
        netlink.set_up(&nic).await?;
        Ok(Neighbour { namespace, address })
    }
}

impl Neighbour {
    /// On the bridge.
    pub fn address(&self) -> IpNet {
        self.address
    }

    /// A program of this machine, to be started in it by the caller. It dies with the caller's handle, and with this
    /// process.
    pub fn command(&self, exec: &Exec) -> Command {
        let mut command = process::command(exec);
        process::enter_and_die_with_us(&mut command, &self.namespace);
        command
    }

    /// Runs a program of this machine in it, to its end. Dropping the future kills it.
    ///
    /// # Errors
    /// When it cannot be started. A program that fails is no error.
    pub async fn exec(&self, exec: &Exec) -> Result<Output, LabError> {
        run_to_end(self.command(exec), exec).await
    }
}
