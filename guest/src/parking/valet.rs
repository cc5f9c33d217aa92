//! The task that parks every NIC which appears in the root namespace, and knows which ones wait.

use super::mover;
use crate::identify;
use nestless_model::identity::Mac;
use nestless_support::{
    netlink::{Link, LinkEvent, LinkMonitor, Netlink, NetlinkError},
    netns::Namespace,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// How long a NIC that the kernel would not move rests before the next attempt; anything that happens to a link of the
/// root namespace brings that forward.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Plug-time addresses of the NICs that wait.
pub type FreeNics = BTreeSet<Mac>;

/// NICs that stand in the root namespace because somebody is to have them there.
#[derive(Clone, Default)]
pub(super) struct Lent(Arc<Mutex<BTreeSet<Mac>>>);

impl Lent {
    pub(super) fn insert(&self, nic: Mac) {
        self.lock().insert(nic);
    }

    pub(super) fn remove(&self, nic: Mac) {
        self.lock().remove(&nic);
    }

    fn contains(&self, nic: Mac) -> bool {
        self.lock().contains(&nic)
    }

    /// No holder panics half-way through a change: each is one call of the set's.
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Mac>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromIterator<Mac> for Lent {
    fn from_iter<I: IntoIterator<Item = Mac>>(nics: I) -> Self {
        Self(Arc::new(Mutex::new(nics.into_iter().collect())))
    }
}

struct Valet {
    arrivals: LinkMonitor,
    parked: LinkMonitor,
    root: Netlink,
    parking: Namespace,
    lent: Lent,
    free: watch::Sender<FreeNics>,
}

/// Parks what is there, and goes on in a task.
pub(super) async fn start(
    parking: &Namespace,
    inside: &Netlink,
    lent: Lent,
) -> Result<(watch::Receiver<FreeNics>, AbortOnDropHandle<()>), NetlinkError> {
    let (free, receiver) = watch::channel(FreeNics::new());
    let mut valet = Valet {
        arrivals: LinkMonitor::here()?,
        parked: LinkMonitor::inside(parking).await?,
        root: Netlink::here()?,
        parking: parking.clone(),
        lent,
        free,
    };
    valet.park_all().await;
    let waiting = inside.links().await?.iter().filter_map(identify::plugged_mac).collect();
    valet.free.send_replace(waiting);
    Ok((receiver, AbortOnDropHandle::new(tokio::spawn(valet.run()))))
}

impl Valet {
    async fn run(mut self) {
        let mut left_over = false;
        let mut settled = false;
        loop {
            tokio::select! {
                event = self.arrivals.next() => match event {
                    Ok(LinkEvent::Present(link)) => left_over |= !self.park(&link).await,
                    Ok(_) => {}
                    Err(error) => return self.ended(&error),
                },
                event = self.parked.next() => match event {
                    Ok(LinkEvent::Listed) => { settled = true; self.tell() }
                    // Until all are listed, the set from the start is the truer one.
                    Ok(_) if settled => self.tell(),
                    Ok(_) => {}
                    Err(error) => return self.ended(&error),
                },
                () = tokio::time::sleep(RETRY_AFTER), if left_over => left_over = !self.park_all().await,
            }
        }
    }

    fn tell(&self) {
        let now: FreeNics = self.parked.known().filter_map(identify::plugged_mac).collect();
        self.free.send_if_modified(|free| {
            let changed = *free != now;
            *free = now;
            changed
        });
    }

    /// Whether nothing of ours is left in the root namespace.
    async fn park_all(&mut self) -> bool {
        let Ok(links) = self.root.links().await else { return false };
        let mut all = true;
        for link in &links {
            all &= self.park(link).await;
        }
        all
    }

    async fn park(&mut self, link: &Link) -> bool {
        let Some(nic) = identify::plugged_mac(link).filter(|nic| !self.lent.contains(*nic)) else {
            return true;
        };
        match mover::park(&self.root, link, nic, &self.parking).await {
            Ok(()) => tracing::debug!(%nic, link = %link.name, "parked"),
            // Unplugged, or already moved because of an earlier event.
            Err(error) if error.source.is_missing() => {}
            Err(error) => {
                tracing::warn!(%nic, link = %link.name, error = %error.source, "a NIC cannot be parked; trying again");
                return false;
            }
        }
        true
    }

    /// Without its watch the agent is blind; the receivers see the channel close.
    fn ended(&self, error: &NetlinkError) {
        tracing::error!(%error, "the watch over the VM's links ended: restart nestless-agent");
    }
}
