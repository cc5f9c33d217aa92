//! Tells when the namespace comes and goes, and when a NIC does.

use crate::hypervisor::{HypervisorEvent, alias::nic_of, directory_watch::DirectoryWatch};
use nestless_model::identity::{NicId, VmName};
use nestless_support::{
    netlink::{Link, LinkEvent, LinkMonitor, NetlinkError},
    netns::{Namespace, NamespaceId},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

pub(super) fn start(
    path: PathBuf,
    vm: VmName,
    made: Arc<Mutex<BTreeSet<NicId>>>,
    events: mpsc::Sender<HypervisorEvent>,
) -> Result<AbortOnDropHandle<()>, NetlinkError> {
    let links = LinkMonitor::here()?;
    // The directory may come later, and that of a process (/proc/PID/ns) tells nothing: links that go still do.
    let directory = DirectoryWatch::around(&path).ok();
    let watch = Watch { path, vm, made, links, directory, current: None };
    Ok(AbortOnDropHandle::new(tokio::spawn(watch.run(events))))
}

struct Watch {
    path: PathBuf,
    vm: VmName,
    made: Arc<Mutex<BTreeSet<NicId>>>,
    links: LinkMonitor,
    directory: Option<DirectoryWatch>,
    current: Option<NamespaceId>,
}

impl Watch {
    /// Until nobody listens, or the links cannot be watched any more.
    async fn run(mut self, events: mpsc::Sender<HypervisorEvent>) {
        loop {
            for event in self.look() {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            let gone = tokio::select! {
                event = self.links.next() => match event {
                    Ok(LinkEvent::Gone(link)) => self.ours(&link),
                    Ok(LinkEvent::Present(_) | LinkEvent::Listed) => None,
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(vm = %self.vm, error, "links are watched no more: restart the daemon");
                        return;
                    }
                },
                () = changed(self.directory.as_ref()) => None,
                () = events.closed() => return,
            };
            if let Some(nic) = gone
                && events.send(HypervisorEvent::NicGone(nic)).await.is_err()
            {
                return;
            }
        }
    }

    fn ours(&self, link: &Link) -> Option<NicId> {
        let nic = NicId::from_link_name(&link.name)?;
        let made = self.made.lock().expect("nothing panics while it holds the set").contains(&nic);
        (made || nic_of(&self.vm, link) == Some(nic)).then_some(nic)
    }

    /// Compares the namespace with the one that was there. A path may be bound to another namespace in between.
    fn look(&mut self) -> Vec<HypervisorEvent> {
        let found = identify(&self.path);
        let before = std::mem::replace(&mut self.current, found);
        match (before, found) {
            (before, found) if before == found => Vec::new(),
            (Some(_), Some(_)) => vec![HypervisorEvent::Down, HypervisorEvent::Up],
            (Some(_), None) => vec![HypervisorEvent::Down],
            (None, _) => vec![HypervisorEvent::Up],
        }
    }
}

fn identify(path: &Path) -> Option<NamespaceId> {
    Namespace::open(path).ok()?.id().ok()
}

async fn changed(directory: Option<&DirectoryWatch>) {
    let told = match directory {
        Some(directory) => directory.changed().await.is_ok(),
        None => false,
    };
    if !told {
        std::future::pending::<()>().await;
    }
}
