//! One NIC's queues in the kernel.

use super::error::ShapingError;
use nestless_model::identity::{LinkName, NicId};
use nestless_support::{
    clsact, crash_point,
    netlink::Netlink,
    sysctl,
    token_bucket::{self, Seen, TokenBucket},
};
use std::{collections::BTreeMap, io};

pub(super) struct Queues<'a> {
    pub(super) netlink: &'a Netlink,
    pub(super) nic: NicId,
    /// The NIC's host end.
    pub(super) link: &'a LinkName,
}

impl Queues<'_> {
    /// What the VM receives waits at the host end's own root.
    pub(super) fn set_received(&self, bucket: Option<TokenBucket>) -> Result<(), ShapingError> {
        let link = self.link.as_str();
        match bucket {
            Some(bucket) => token_bucket::set(link, &bucket),
            None => token_bucket::clear(link),
        }
        .map_err(|source| self.failed("limit what is received by", source))
    }

    /// What the VM sends goes round by a link of its own.
    pub(super) async fn set_sent(&self, bucket: Option<TokenBucket>) -> Result<(), ShapingError> {
        let (link, queue) = (self.link.as_str(), self.nic.queue_name());
        let Some(bucket) = bucket else {
            clsact::end_diversion(link)
                .map_err(|source| self.failed("no longer limit what is sent by", source))?;
            return remove(self.netlink, self.nic).await;
        };
        crash_point::reached("shaping.set-sent.before");
        let at_link = |source| ShapingError::Link { link: self.link.clone(), source };
        let made = match self.netlink.create_queue(queue.as_str()).await {
            Err(error) if error.is_existing() => self.netlink.link(queue.as_str()).await,
            made => made,
        }
        .map_err(at_link)?;
        crash_point::reached("shaping.set-sent.made");
        silence(self.link, &queue)?;
        token_bucket::set(queue.as_str(), &bucket)
            .map_err(|source| self.failed("limit what is sent by", source))?;
        if !made.up {
            self.netlink.set_up(&made).await.map_err(at_link)?;
        }
        clsact::divert(link, queue.as_str())
            .map_err(|source| self.failed("divert what is sent by", source))?;
        crash_point::reached("shaping.set-sent.after");
        Ok(())
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> ShapingError {
        ShapingError::Queue { operation, link: self.link.clone(), source }
    }
}

/// Removes the second link; succeeds when there is none.
pub(super) async fn remove(netlink: &Netlink, nic: NicId) -> Result<(), ShapingError> {
    netlink
        .delete_if_any(nic.queue_name().as_str())
        .await
        .map_err(|source| ShapingError::Link { link: nic.link_name(), source })
}

/// Where there is no such setting, the kernel has no IPv6.
fn silence(link: &LinkName, queue: &LinkName) -> Result<(), ShapingError> {
    let key = format!("net/ipv6/conf/{queue}/disable_ipv6");
    if sysctl::read(&key).is_ok_and(|value| value != "1") {
        sysctl::write(&key, "1").map_err(|source| ShapingError::Silence { link: link.clone(), source })?;
    }
    Ok(())
}

/// The names and indexes of all links.
pub(super) fn links() -> Result<BTreeMap<String, u32>, ShapingError> {
    let all = nix::net::if_::if_nameindex().map_err(|error| ShapingError::Look { source: error.into() })?;
    Ok(all.iter().map(|link| (link.name().to_string_lossy().into_owned(), link.index())).collect())
}

/// Our buckets, by the index of their link.
pub(super) fn buckets() -> Result<BTreeMap<u32, Seen>, ShapingError> {
    token_bucket::all().map_err(|source| ShapingError::Look { source })
}
