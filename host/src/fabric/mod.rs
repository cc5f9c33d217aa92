//! The host's side of every NIC: bridges, what is enslaved to them, how they leave the host.
//!
//! ```text
//! configuration -> Desired ---+
//!                             +--> plan_up / plan_down (pure) --> FabricStep... --> Executor --> kernel
//! kernel --------> Observed --+
//! ```
//!
//! Memory is nothing here, the kernel is all: [`Fabric::up`] looks and does what is missing, at the start, on a timer, and
//! whenever something seems wrong. Everything happens in the network namespace that the process was started in.

mod clash;
mod error;
mod execute;
mod host_end;
mod mac;
mod nft;
mod observed;
mod plan;
mod rules;
mod step;

#[cfg(test)]
mod tests;

pub use clash::clashes;
pub use error::{Clash, FabricError, PlanError};
pub use observed::Observed;
pub use plan::{Desired, plan_down, plan_up};
pub use rules::{Chain, Rule, rules};
pub use step::FabricStep;

use execute::Executor;
use nestless_model::{
    identity::{LinkName, NetworkName, NicId},
    network::{self, Network},
};
use nestless_support::{
    former_settings::FormerSettings,
    netlink::{HardwareAddress, Netlink},
};
use std::collections::BTreeMap;
use tokio::sync::Mutex;

/// The fabric of one daemon.
pub struct Fabric {
    desired: Desired,
    netlink: Netlink,
    former: Option<FormerSettings>,
    /// Two passes at once would do the same things twice.
    pass: Mutex<()>,
}

/// What is there, for status and reconciliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FabricState {
    /// The bridge of each configured network.
    pub bridges: BTreeMap<NetworkName, BridgeState>,
    /// Every NIC's host end.
    pub links: BTreeMap<NicId, NicLink>,
    /// What [`Fabric::up`] would do now, as sentences; empty when all is as configured.
    pub drift: Vec<String>,
}

/// A network's bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeState {
    /// Its name.
    pub bridge: LinkName,
    /// Its number; `None` when it does not exist.
    pub index: Option<u32>,
    /// Set up by us or an administrator.
    pub up: bool,
    /// In bytes; 0 when it does not exist.
    pub mtu_bytes: u32,
    /// How many links are enslaved to it.
    pub enslaved: usize,
}

/// A NIC's host end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicLink {
    /// Its name.
    pub link: LinkName,
    /// Its number.
    pub index: u32,
    /// The name of the bridge that it is in.
    pub master: Option<String>,
    /// Set up.
    pub up: bool,
    /// In bytes.
    pub mtu_bytes: u32,
    /// The host end's own address, not the guest's.
    pub mac: Option<HardwareAddress>,
}

impl Fabric {
    /// Checks the configuration and opens a channel to the kernel; changes nothing. `instance` keeps several daemons on one
    /// host apart: it goes into the names of kernel objects.
    ///
    /// # Errors
    /// When the configuration cannot be, or the kernel cannot be reached.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(instance: &str, networks: Vec<Network>) -> Result<Self, FabricError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if instance.is_empty() || instance.len() > 32 || !instance.chars().all(allowed) {
            return Err(FabricError::Instance { instance: instance.chars().take(80).collect() });
        }
        network::check(&networks).map_err(|source| FabricError::Networks { source })?;
        let netlink = Netlink::here().map_err(|source| FabricError::Open { source })?;
        let desired = Desired { instance: instance.to_owned(), networks };
        Ok(Self { desired, netlink, former: None, pass: Mutex::default() })
    }

    /// Notes there what kernel settings were, before [`Fabric::up`] changes them.
    #[must_use]
    pub fn noting_former_settings(self, former: FormerSettings) -> Self {
        Self { former: Some(former), ..self }
    }

    /// The network of that name.
    pub fn network(&self, name: &NetworkName) -> Option<&Network> {
        self.desired.networks.iter().find(|network| network.name == *name)
    }

    /// The channel to the kernel.
    pub(crate) fn netlink(&self) -> &Netlink {
        &self.netlink
    }

    /// The largest packet of any network, in bytes.
    pub(crate) fn largest_mtu_bytes(&self) -> u32 {
        self.desired.networks.iter().map(|network| network.mtu.bytes()).max().unwrap_or_default()
    }

    /// Makes everything that is missing or different, and returns what it did, as sentences for the log; nothing when all
    /// was right. Repeat it to repair drift.
    ///
    /// # Errors
    /// [`FabricError::Plan`] when something of someone else's is in the way: nothing was changed then. Others when a step
    /// failed: those before it stay done, and a repetition goes on from there.
    pub async fn up(&self) -> Result<Vec<String>, FabricError> {
        let _one_at_a_time = self.pass.lock().await;
        let steps = self.plan().await?;
        let alias = self.desired.alias();
        let executor = Executor { netlink: &self.netlink, alias: &alias, former: self.former.as_ref() };
        let mut done = Vec::with_capacity(steps.len());
        for step in &steps {
            executor.execute(step).await?;
            done.push(step.to_string());
        }
        Ok(done)
    }

    /// Whether the subnets are this daemon's alone on this host. Changes nothing, and needs no rights.
    ///
    /// # Errors
    /// [`FabricError::Clashes`] with every address and route of others that a subnet overlaps.
    pub async fn check(&self) -> Result<(), FabricError> {
        let observed = Observed::look_at_others(&self.netlink).await?;
        let clashes = clashes(&self.desired, &observed);
        if clashes.is_empty() { Ok(()) } else { Err(FabricError::Clashes { clashes }) }
    }

    /// Takes away what this instance made, in this run or an earlier one, and returns what it did. NICs lose their bridge
    /// and stay; forwarding stays on; a bridge that someone else made stays as it is.
    ///
    /// # Errors
    /// [`FabricError::Down`] with every step that failed; the others were done.
    pub async fn down(&self) -> Result<Vec<String>, FabricError> {
        let _one_at_a_time = self.pass.lock().await;
        let observed = Observed::look(&self.netlink, &self.desired.table()).await?;
        let alias = self.desired.alias();
        let executor = Executor { netlink: &self.netlink, alias: &alias, former: self.former.as_ref() };
        let (mut done, mut failures) = (Vec::new(), Vec::new());
        for step in plan_down(&self.desired, &observed) {
            match executor.execute(&step).await {
                Ok(()) => done.push(step.to_string()),
                Err(error) => failures.push(error),
            }
        }
        if failures.is_empty() { Ok(done) } else { Err(FabricError::Down { failures }) }
    }

    /// What [`Fabric::down`] would do now.
    ///
    /// # Errors
    /// When the kernel or `nft` does not answer.
    pub async fn steps_down(&self) -> Result<Vec<FabricStep>, FabricError> {
        let observed = Observed::look(&self.netlink, &self.desired.table()).await?;
        Ok(plan_down(&self.desired, &observed))
    }

    /// Looks.
    ///
    /// # Errors
    /// When the kernel or `nft` does not answer. Something in the way is no error here, but a sentence in
    /// [`FabricState::drift`].
    pub async fn observe(&self) -> Result<FabricState, FabricError> {
        let observed = Observed::look(&self.netlink, &self.desired.table()).await?;
        let drift = match plan_up(&self.desired, &observed) {
            Ok(steps) => steps.iter().map(FabricStep::to_string).collect(),
            Err(error) => vec![error.to_string()],
        };
        let bridges =
            self.desired.networks.iter().map(|network| (network.name.clone(), bridge(network, &observed)));
        Ok(FabricState { bridges: bridges.collect(), links: nic_links(&observed), drift })
    }

    /// Looks at the NICs' host ends alone, which is cheaper.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub async fn links(&self) -> Result<BTreeMap<NicId, NicLink>, FabricError> {
        let links = self.netlink.links().await.map_err(|source| FabricError::Observe { source })?;
        Ok(nic_links(&Observed { links, ..Observed::default() }))
    }

    async fn plan(&self) -> Result<Vec<FabricStep>, FabricError> {
        let observed = Observed::look(&self.netlink, &self.desired.table()).await?;
        plan_up(&self.desired, &observed).map_err(|source| FabricError::Plan { source })
    }
}

fn bridge(network: &Network, observed: &Observed) -> BridgeState {
    let link = observed.link(&network.bridge).filter(|link| link.bridge.is_some());
    let enslaved = |index| observed.links.iter().filter(|link| link.master == Some(index)).count();
    BridgeState {
        bridge: network.bridge.clone(),
        index: link.map(|link| link.index),
        up: link.is_some_and(|link| link.up),
        mtu_bytes: link.map_or(0, |link| link.mtu_bytes),
        enslaved: link.map_or(0, |link| enslaved(link.index)),
    }
}

fn nic_links(observed: &Observed) -> BTreeMap<NicId, NicLink> {
    let nics = observed.links.iter().filter_map(|link| {
        let nic = NicId::from_link_name(&link.name)?;
        let state = NicLink {
            link: nic.link_name(),
            index: link.index,
            master: link.master.map(|index| observed.name_of(index)),
            up: link.up,
            mtu_bytes: link.mtu_bytes,
            mac: link.mac,
        };
        Some((nic, state))
    });
    nics.collect()
}
