//! One namespace.

use crate::hypervisor::{
    Hypervisor, HypervisorError, Kind, NicSpec, Observation,
    alias::{link_alias, nic_of},
    unreachable::unreachable,
};
use async_trait::async_trait;
use nestless_model::{
    attachment::VmState,
    identity::{NicId, VmName},
};
use nestless_support::{
    crash_point,
    error_chain::in_full,
    netlink::{HardwareAddress, Netlink, NetlinkError, VethEnd},
    netns::{Namespace, NamespaceError},
};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::task::AbortOnDropHandle;

/// One namespace.
pub struct NamespaceVm {
    pub(super) path: PathBuf,
    pub(super) vm: VmName,
    pub(super) host: Netlink,
    /// NICs made here. The kernel tells the watch of no alias that is set on a link that is down.
    pub(super) made: Arc<Mutex<BTreeSet<NicId>>>,
    pub(super) _watch: AbortOnDropHandle<()>,
}

/// A veth whose other end is not in the VM yet: the namespace where it waits, without which both ends are gone.
#[derive(Debug)]
pub struct WaitingVeth(Namespace);

/// A step of ours that failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
}

impl NamespaceVm {
    async fn create(&self, spec: &NicSpec) -> Result<WaitingVeth, StepError> {
        let link = spec.nic.link_name();
        self.delete(spec.nic).await?;
        let waiting = Namespace::anonymous()?;
        let mtu_bytes = Some(spec.mtu.bytes());
        let host_end = VethEnd { mtu_bytes, ..VethEnd::named(link.as_str()) };
        let other_end = VethEnd {
            mac: Some(HardwareAddress(spec.mac.bytes())),
            mtu_bytes,
            namespace: Some(waiting.clone()),
            ..VethEnd::named(other_end_name(spec.nic))
        };
        self.made.lock().expect("nothing panics while it holds the set").insert(spec.nic);
        crash_point::reached("namespace.veth.before");
        self.host.create_veth(&host_end, &other_end).await?;
        crash_point::reached("namespace.veth.after");
        let made = self.host.link(link.as_str()).await?;
        crash_point::reached("namespace.alias.before");
        self.host.set_alias(&made, &link_alias(&self.vm, spec.nic)).await?;
        crash_point::reached("namespace.alias.after");
        Ok(WaitingVeth(waiting))
    }

    async fn move_in(&self, spec: &NicSpec, waiting: &Namespace) -> Result<(), StepError> {
        let vm = Namespace::open(&self.path)?;
        let netlink = Netlink::inside(waiting).await?;
        let other_end = netlink.link(&other_end_name(spec.nic)).await?;
        crash_point::reached("namespace.move.before");
        netlink.move_to(&other_end, &vm, None).await?;
        crash_point::reached("namespace.move.after");
        Ok(())
    }

    /// Deletes the host end, unless it is another VM's.
    async fn delete(&self, nic: NicId) -> Result<(), NetlinkError> {
        let Some(link) = self.host.link_if_any(nic.link_name().as_str()).await? else { return Ok(()) };
        if link.alias.is_some() && nic_of(&self.vm, &link) != Some(nic) {
            return Ok(());
        }
        crash_point::reached("namespace.delete.before");
        let deleted = self.host.delete(&link).await;
        crash_point::reached("namespace.delete.after");
        match deleted {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    /// The NICs that are there, and those of them whose other end is not: a daemon that died before it had moved took the
    /// waiting namespace with it.
    async fn look(&self) -> Result<(BTreeSet<NicId>, BTreeSet<NicId>), NetlinkError> {
        let (mut nics, mut halves) = (BTreeSet::new(), BTreeSet::new());
        for link in self.host.links().await? {
            let Some(nic) = nic_of(&self.vm, &link) else { continue };
            nics.insert(nic);
            if self.host.is_dying(&link).await? {
                halves.insert(nic);
            }
        }
        Ok((nics, halves))
    }

    fn endpoint(&self) -> String {
        self.path.display().to_string()
    }
}

#[async_trait]
impl Hypervisor for NamespaceVm {
    // A veth has one pair of queues, whatever is asked for. Not fewer may be asked for than of a QEMU, since the same
    // configuration is tried out on namespaces first.
    const KIND: &'static Kind = &Kind { name: "namespace", host_end: "veth", device: None, max_queues: 16 };
    type HostEnd = WaitingVeth;

    async fn create_host_end(&self, spec: &NicSpec) -> Result<WaitingVeth, HypervisorError> {
        self.create(spec).await.map_err(|source| HypervisorError::HostEnd {
            nic: spec.nic,
            link: spec.nic.link_name(),
            source: source.into(),
        })
    }

    async fn plug(&self, spec: &NicSpec, WaitingVeth(waiting): WaitingVeth) -> Result<(), HypervisorError> {
        if Namespace::open(&self.path).is_err() {
            return Err(HypervisorError::Down { endpoint: self.endpoint() });
        }
        let moved = self.move_in(spec, &waiting).await;
        moved.map_err(|source| HypervisorError::Plug { nic: spec.nic, source: source.into() })
    }

    async fn unplug(&self, nic: NicId, _deadline: Duration) -> Result<(), HypervisorError> {
        self.delete(nic).await.map_err(|source| HypervisorError::Unplug { nic, source: source.into() })
    }

    async fn observe(&self) -> Result<Observation, HypervisorError> {
        let (nics, halves) = self.look().await.map_err(|source| HypervisorError::Observe {
            endpoint: self.endpoint(),
            source: source.into(),
        })?;
        let state = if Namespace::open(&self.path).is_ok() { VmState::Running } else { VmState::Down };
        Ok(Observation { state, nics, halves, slots: None })
    }

    fn trouble(&self) -> Option<String> {
        match Namespace::open(&self.path).err()? {
            NamespaceError::Open { path, source } => Some(unreachable("the namespace", &path, &source)),
            other => Some(in_full(&other)),
        }
    }
}

/// In the VM, which knows a NIC by its MAC address and may rename it.
fn other_end_name(nic: NicId) -> String {
    format!("nlp{:x}", nic.0)
}
