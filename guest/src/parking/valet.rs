//! The task that parks every NIC which appears in the root namespace, has those made anew that somebody has had, and knows
//! which ones wait.

use super::{
    mover,
    past::{Past, Pasts},
    renewal::Renewal,
    waiting::Waiting,
};
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
    pasts: Arc<Pasts>,
    renewal: Renewal,
    waiting: watch::Sender<Waiting>,
}

/// Parks what is there, and goes on in a task.
pub(super) async fn start(
    parking: &Namespace,
    inside: &Netlink,
    lent: Lent,
    pasts: Arc<Pasts>,
    renewal: Renewal,
) -> Result<(watch::Receiver<Waiting>, AbortOnDropHandle<()>), NetlinkError> {
    let (waiting, receiver) = watch::channel(Waiting::default());
    let mut valet = Valet {
        arrivals: LinkMonitor::here()?,
        parked: LinkMonitor::inside(parking).await?,
        root: Netlink::here()?,
        parking: parking.clone(),
        lent,
        pasts,
        renewal,
        waiting,
    };
    for (nic, past) in valet.pasts.all() {
        if let Past::Renewing(unbinding) = past {
            valet.renewal.resume(nic, unbinding);
        }
    }
    valet.park_all().await;
    let links = inside.links().await?;
    for nic in links.iter().filter_map(identify::plugged_mac) {
        // Whatever an earlier agent was about to do with it.
        if valet.pasts.get(nic) != Some(Past::New) {
            valet.pasts.note(nic, Past::Returned);
        }
    }
    valet.look(&links);
    Ok((receiver, AbortOnDropHandle::new(tokio::spawn(valet.run()))))
}

impl Valet {
    async fn run(mut self) {
        let pasts = Arc::clone(&self.pasts);
        let mut left_over = false;
        let mut settled = false;
        loop {
            let looks = tokio::select! {
                event = self.arrivals.next() => match event {
                    Ok(LinkEvent::Present(link)) => { left_over |= !self.park(&link).await; false }
                    Ok(_) => false,
                    Err(error) => return self.ended(&error),
                },
                event = self.parked.next() => match event {
                    Ok(event) => { settled |= event == LinkEvent::Listed; true }
                    Err(error) => return self.ended(&error),
                },
                () = pasts.changed.notified() => true,
                () = tokio::time::sleep(RETRY_AFTER), if left_over => { left_over = !self.park_all().await; false }
            };
            // Until all are listed, what was seen at the start is truer.
            if looks && settled {
                let links: Vec<Link> = self.parked.known().cloned().collect();
                self.look(&links);
            }
        }
    }

    /// Has those made anew that somebody has had, and tells what waits.
    fn look(&self, parked: &[Link]) {
        let mut here = BTreeSet::new();
        for link in parked {
            let Some(nic) = identify::plugged_mac(link) else { continue };
            here.insert(nic);
            if matches!(self.pasts.get(nic), Some(Past::Returned) | None) {
                self.renewal.begin(nic, link);
            }
        }
        for (nic, past) in self.pasts.all() {
            if past == Past::Spent && !here.contains(&nic) {
                // The host has unplugged it.
                self.pasts.forget(nic);
            }
        }
        let now = Waiting::of(&here, &self.pasts);
        self.waiting.send_if_modified(|waiting| {
            let changed = *waiting != now;
            *waiting = now;
            changed
        });
    }

    /// Whether nothing of ours is left in the root namespace.
    async fn park_all(&mut self) -> bool {
        let Ok(links) = self.root.links().await else { return false };
        let mut all = true;
        for link in &links {
            all &= self.park_one(link).await;
        }
        all
    }

    /// What was seen may be there no more: an event that comes late is not to be taken for a return.
    async fn park(&mut self, seen: &Link) -> bool {
        if identify::plugged_mac(seen).is_none() {
            return true;
        }
        match self.root.link_by_index(seen.index).await {
            Ok(link) => self.park_one(&link).await,
            Err(error) => error.is_missing(),
        }
    }

    async fn park_one(&mut self, link: &Link) -> bool {
        let Some(nic) = identify::plugged_mac(link).filter(|nic| !self.lent.contains(*nic)) else {
            return true;
        };
        let past = match self.pasts.get(nic) {
            // What comes after an unbinding, or was never seen, has just been made. An alias is what we, or somebody, gave it.
            Some(Past::New | Past::Unbound | Past::Spent | Past::Lost) => Past::New,
            None if link.alias.is_none() => Past::New,
            // Its sandbox died, or whoever had borrowed it.
            Some(Past::Out | Past::Returned | Past::Renewing(_)) | None => Past::Returned,
        };
        self.pasts.note(nic, past);
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
