//! What the agent has: one for the life of the process, of which every call and event gets a handle.

use super::{
    attachments::{Attachments, Locks, Record},
    error::KeepError,
};
use crate::{
    config::{Config, Deadlines},
    host_client::HostClient,
};
use anyhow::Context as _;
use nestless_guest::{
    families,
    parking::{Parking, Waiting},
    sandbox_watch::{SandboxNumber, SandboxWatch},
};
use nestless_support::{
    former_settings::FormerSettings,
    netns::{Namespace, NamespaceError, NamespaceId},
};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc};

/// The agent.
pub(crate) struct Agent {
    pub(super) host: HostClient,
    pub(super) parking: Parking,
    pub(super) attachments: Attachments,
    pub(super) locks: Locks,
    pub(super) sandboxes: SandboxWatch,
    /// Namespaces that no pod may be set up in: the VM's own, and the parking one.
    own_namespaces: [NamespaceId; 2],
    pub(super) boot_id: String,
    /// The VM's kernel has it.
    pub(super) has_ipv6: bool,
    pub(super) deadlines: Deadlines,
    /// What the host has heard last of the NICs that wait.
    pub(super) reported: Mutex<Waiting>,
    /// Of the VM's own namespace.
    pub(super) former_settings: FormerSettings,
    /// A record became `Detaching`.
    pub(super) detaching: Notify,
}

/// Sandboxes that died, for [`Agent::watch`].
pub(crate) type DeadSandboxes = mpsc::UnboundedReceiver<SandboxNumber>;

impl Agent {
    pub(crate) async fn new(
        config: &Config,
        host: HostClient,
        boot_id: String,
    ) -> anyhow::Result<(Arc<Self>, DeadSandboxes)> {
        let attachments = Attachments::load(&config.run_dir)?;
        let path = config.run_dir.join("parking");
        let parking = Parking::open_beside(&path, attachments.handed_out(), attachments.lent())
            .await
            .with_context(|| format!("park NICs in {}", path.display()))?;
        let (sandboxes, dead) = SandboxWatch::start().context("watch sandboxes")?;
        let own =
            Namespace::current().and_then(|own| own.id()).context("look at the VM's network namespace")?;
        let parked = parking.namespace().id().context("look at the parking namespace")?;
        let agent = Self {
            host,
            parking,
            attachments,
            locks: Locks::default(),
            sandboxes,
            own_namespaces: [own, parked],
            boot_id,
            has_ipv6: families::has_ipv6(),
            deadlines: config.deadlines(),
            reported: Mutex::default(),
            former_settings: FormerSettings::at(config.run_dir.join("former-settings.guest")),
            detaching: Notify::new(),
        };
        if !agent.has_ipv6 {
            tracing::warn!("this VM's kernel has no IPv6 (ipv6.disable=1): pods get IPv4 addresses alone");
        }
        Ok((Arc::new(agent), dead))
    }

    /// Whether it is a namespace that no pod may be set up in.
    pub(crate) fn is_own(&self, namespace: &Namespace) -> Result<bool, NamespaceError> {
        Ok(self.own_namespaces.contains(&namespace.id()?))
    }

    /// Keeps a record. Without it a restart would not know the attachment, so a disk that fails fails the call.
    pub(super) fn keep(&self, record: &Record) -> Result<(), KeepError> {
        let kept = self.attachments.put(record.clone());
        kept.map_err(|source| KeepError { attachment: record.attachment.clone(), source })
    }
}
