//! A network namespace that plays a VM: its NICs are veths, whose other ends are the host's.
//!
//! ```text
//! create_host_end: veth pair; the other end waits in a namespace without a name, which lives as long as the HostEnd
//! plug:            the other end moves on into the VM's namespace
//! unplug:          the host's end is deleted, and the other with it
//! ```
//!
//! The host's end is marked by its alias with the VM and the NIC, so that it is found again after a restart.

mod watch;

use super::{
    Connected, HostEnd, Hypervisor, HypervisorError, NicSpec, Observation, VmState, config::NamespaceConfig,
    link_alias,
};
use async_trait::async_trait;
use nestless_model::identity::{NicId, VmName};
use nestless_support::{
    crash_point,
    netlink::{HardwareAddress, Link, Netlink, NetlinkError, VethEnd},
    netns::{Namespace, NamespaceError},
};
use std::{
    collections::BTreeSet,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

const EVENT_BACKLOG: usize = 256;

/// One namespace.
pub struct NamespaceVm {
    path: PathBuf,
    vm: VmName,
    host: Netlink,
    /// NICs made here. The kernel tells the watch of no alias that is set on a link that is down.
    made: Arc<Mutex<BTreeSet<NicId>>>,
    _watch: AbortOnDropHandle<()>,
}

/// A step of ours that failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    #[error("copy the descriptor of the waiting namespace")]
    Descriptor(#[source] std::io::Error),
    #[error("the host's end was made by another back end: it has no waiting namespace")]
    ForeignEnd,
}

impl NamespaceVm {
    /// Watches the namespace, which need not exist yet. The host's ends are made in the calling thread's namespace.
    ///
    /// # Errors
    /// When the host's links cannot be watched.
    pub fn open(config: &NamespaceConfig, vm: &VmName) -> Result<Connected, HypervisorError> {
        let (events, receiver) = mpsc::channel(EVENT_BACKLOG);
        let failed = |source: NetlinkError| HypervisorError::Observe {
            endpoint: config.path.display().to_string(),
            source: source.into(),
        };
        let host = Netlink::here().map_err(failed)?;
        let made = Arc::default();
        let watch =
            watch::start(config.path.clone(), vm.clone(), Arc::clone(&made), events).map_err(failed)?;
        let hypervisor = Self { path: config.path.clone(), vm: vm.clone(), host, made, _watch: watch };
        Ok(Connected { hypervisor: Box::new(hypervisor), events: receiver })
    }

    async fn create(&self, spec: &NicSpec) -> Result<HostEnd, StepError> {
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
        let descriptor = waiting.as_fd().try_clone_to_owned().map_err(StepError::Descriptor)?;
        Ok(HostEnd { link, queues: vec![descriptor] })
    }

    async fn move_in(&self, spec: &NicSpec, waiting: OwnedFd) -> Result<(), StepError> {
        let waiting =
            Namespace::from_descriptor(waiting, "waiting NIC").map_err(|_| StepError::ForeignEnd)?;
        let vm = Namespace::open(&self.path)?;
        let netlink = Netlink::inside(&waiting).await?;
        let other_end = netlink.link(&other_end_name(spec.nic)).await?;
        crash_point::reached("namespace.move.before");
        netlink.move_to(&other_end, &vm, None).await?;
        crash_point::reached("namespace.move.after");
        Ok(())
    }

    /// Deletes the host's end, unless it is another VM's.
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
    fn kind(&self) -> &'static str {
        "namespace"
    }

    async fn create_host_end(&self, spec: &NicSpec) -> Result<HostEnd, HypervisorError> {
        self.create(spec).await.map_err(|source| HypervisorError::HostEnd {
            nic: spec.nic,
            link: spec.nic.link_name(),
            source: source.into(),
        })
    }

    async fn plug(&self, spec: &NicSpec, end: HostEnd) -> Result<(), HypervisorError> {
        if Namespace::open(&self.path).is_err() {
            return Err(HypervisorError::Down { endpoint: self.endpoint() });
        }
        let moved = match end.queues.into_iter().next() {
            Some(waiting) => self.move_in(spec, waiting).await,
            None => Err(StepError::ForeignEnd),
        };
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
        Ok(Observation { state, nics, halves, capacity: None })
    }
}

/// The NIC that a link of the host's is the end of, if it is this VM's.
fn nic_of(vm: &VmName, link: &Link) -> Option<NicId> {
    let nic = NicId::from_link_name(&link.name)?;
    (link.alias.as_deref() == Some(&link_alias(vm, nic))).then_some(nic)
}

/// In the VM, which knows a NIC by its MAC address and may rename it.
fn other_end_name(nic: NicId) -> String {
    format!("nlp{:x}", nic.0)
}
