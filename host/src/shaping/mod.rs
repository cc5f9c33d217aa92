//! Limits on a NIC's traffic: queues, in which frames wait for their turn.
//!
//! ```text
//! what the pod receives   bridge -> [queue] nl1 -> VM
//! what the pod sends      VM -> nl1: guard, then diverted -> [queue] nq1 -> received by nl1 -> bridge
//! ```
//!
//! What is received cannot be queued by the link that receives it, so there is a second one (ifb) for what the VM sends. It
//! does not go with the first: what is left of NICs that are gone is swept at every look.

mod error;
mod queues;

pub use error::ShapingError;

use nestless_model::{
    guard::{Bandwidth, RateLimit},
    identity::{LinkName, NicId},
    shape::Shape,
};
use nestless_support::{clsact, netlink::Netlink, token_bucket::TokenBucket};
use queues::Queues;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The queues of all NICs of one daemon.
pub(crate) struct Shaping {
    netlink: Netlink,
    largest_frame_bytes: u32,
    /// What was last set; a NIC that is not here may have whatever an earlier run left.
    set: Mutex<BTreeMap<NicId, Shapes>>,
}

/// By direction, as the pod sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shapes {
    ingress: Option<TokenBucket>,
    egress: Option<TokenBucket>,
}

/// Frames that found no room in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overflow {
    pub(crate) ingress: u64,
    pub(crate) egress: u64,
}

impl Shaping {
    pub(crate) fn new(netlink: Netlink, largest_frame_bytes: u32) -> Self {
        Self { netlink, largest_frame_bytes, set: Mutex::default() }
    }

    /// Makes the link's queues what the limits ask for; without limits it has none.
    pub(crate) async fn set(&self, link: &LinkName, limits: Bandwidth) -> Result<(), ShapingError> {
        let Some(nic) = NicId::from_link_name(link.as_str()) else { return Ok(()) };
        let bucket = |limit: RateLimit| {
            let Shape { bytes_per_second, burst_bytes, queue_bytes } =
                Shape::of(limit, self.largest_frame_bytes);
            TokenBucket { bytes_per_second, burst_bytes, queue_bytes }
        };
        let wanted = Shapes { ingress: limits.ingress.map(bucket), egress: limits.egress.map(bucket) };
        if wanted == Shapes::default() && self.known().get(&nic) == Some(&wanted) {
            return Ok(());
        }
        self.known().remove(&nic);
        let queues = Queues { netlink: &self.netlink, nic, link };
        queues.set_received(wanted.ingress)?;
        queues.set_sent(wanted.egress).await?;
        self.known().insert(nic, wanted);
        Ok(())
    }

    /// The NICs whose queues are not what was set: somebody has changed them. Queues of NICs that are gone go on the way.
    pub(crate) async fn drifted(&self) -> Result<Vec<NicId>, ShapingError> {
        let links = queues::links()?;
        for name in links.keys() {
            if let Some(gone) = NicId::from_queue_name(name).filter(|nic| !has(&links, nic.link_name())) {
                queues::remove(&self.netlink, gone).await?;
            }
        }
        let known = {
            let mut known = self.known();
            known.retain(|nic, _| has(&links, nic.link_name()));
            known.clone()
        };
        if known.values().all(|shapes| *shapes == Shapes::default()) {
            return Ok(Vec::new());
        }
        let buckets = queues::buckets()?;
        let is_kept = |link: &LinkName, wanted: Option<TokenBucket>| {
            let there = links.get(link.as_str()).and_then(|index| buckets.get(index));
            match (wanted, there) {
                (None, None) => true,
                (Some(wanted), Some(seen)) => {
                    (wanted.bytes_per_second, wanted.queue_bytes) == (seen.bytes_per_second, seen.queue_bytes)
                }
                _ => false,
            }
        };
        let mut drifted = Vec::new();
        for (nic, shapes) in known.into_iter().filter(|(_, shapes)| *shapes != Shapes::default()) {
            let link = nic.link_name();
            let index = links.get(link.as_str()).copied().unwrap_or_default();
            let diverted = clsact::is_diverted(index).map_err(|source| ShapingError::Look { source })?;
            let kept = is_kept(&link, shapes.ingress)
                && is_kept(&nic.queue_name(), shapes.egress)
                && diverted == shapes.egress.is_some();
            if !kept {
                drifted.push(nic);
            }
        }
        Ok(drifted)
    }

    /// What a link's queues have dropped.
    pub(crate) fn overflow(&self, nic: NicId) -> Result<Overflow, ShapingError> {
        if self.known().get(&nic).is_none_or(|shapes| *shapes == Shapes::default()) {
            return Ok(Overflow::default());
        }
        let (links, buckets) = (queues::links()?, queues::buckets()?);
        let dropped = |link: LinkName| {
            links
                .get(link.as_str())
                .and_then(|index| buckets.get(index))
                .map_or(0, |seen| seen.dropped.into())
        };
        Ok(Overflow { ingress: dropped(nic.link_name()), egress: dropped(nic.queue_name()) })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<NicId, Shapes>> {
        // Each change is one call of the map's.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has(links: &BTreeMap<String, u32>, name: LinkName) -> bool {
    links.contains_key(name.as_str())
}
