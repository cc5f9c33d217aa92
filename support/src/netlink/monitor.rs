//! What happens to a namespace's links, told without gaps.
//!
//! The kernel's notifications are subscribed to before the links are listed, so nothing falls between the two. When the
//! kernel drops notifications because they are not read fast enough, the links are listed again and the difference is
//! told: who reads events never learns that some were lost.

use super::{
    Link, Netlink, NetlinkError, Operation,
    error::{Cause, at},
};
use crate::netns::Namespace;
use futures_util::{Stream, StreamExt as _, stream};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{AddressFamily, RouteNetlinkMessage},
    sys::AsyncSocket as _,
};
use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
};
use tokio_util::task::AbortOnDropHandle;

/// Room for some thousand notifications, in bytes. The kernel's default holds about two hundred.
const RECEIVE_BUFFER_BYTES: u32 = 4 << 20;

type Notification = NetlinkMessage<RouteNetlinkMessage>;

/// Something that happened to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// It is there, new or changed, and looks like this now.
    Present(Link),
    /// It was deleted or moved to another namespace. It looked like this.
    Gone(Link),
    /// All that was there at the start has been told. Comes once.
    Listed,
}

/// A watch over one namespace's links.
pub struct LinkMonitor {
    netlink: Netlink,
    notifications: Pin<Box<dyn Stream<Item = Notification> + Send>>,
    known: BTreeMap<u32, Link>,
    untold: VecDeque<LinkEvent>,
    /// A listing is due: at the start, and after a loss.
    outdated: bool,
    listed: bool,
    _connection: AbortOnDropHandle<()>,
}

impl LinkMonitor {
    /// Watches the namespace of the calling thread. Events are kept from now on.
    ///
    /// # Errors
    /// When no socket can be had.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn here() -> Result<Self, NetlinkError> {
        let open = |error| at(Operation::WatchLinks, Cause::Socket(error));
        let (mut connection, _, notifications) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Link]).map_err(open)?;
        connection.socket_mut().socket_ref().set_rx_buf_sz(RECEIVE_BUFFER_BYTES).map_err(open)?;
        // It would notice only at the next notification that nobody listens any more.
        let connection = AbortOnDropHandle::new(tokio::spawn(connection));
        Ok(Self {
            // A channel of its own: where notifications overflow, answers must not be lost.
            netlink: Netlink::here()?,
            notifications: Box::pin(notifications.map(|(message, _)| message)),
            known: BTreeMap::new(),
            untold: VecDeque::new(),
            outdated: true,
            listed: false,
            _connection: connection,
        })
    }

    /// Watches another namespace.
    ///
    /// # Errors
    /// As [`LinkMonitor::here`], and when the namespace cannot be entered.
    pub async fn inside(namespace: &Namespace) -> Result<Self, NetlinkError> {
        namespace.run(Self::here).await.map_err(|error| at(Operation::WatchLinks, Cause::Namespace(error)))?
    }

    /// The next event. First each link that is there, then [`LinkEvent::Listed`], then what happens.
    ///
    /// May be cancelled: no event is lost.
    ///
    /// # Errors
    /// When the socket breaks; there are no more events then.
    pub async fn next(&mut self) -> Result<LinkEvent, NetlinkError> {
        loop {
            if let Some(event) = self.untold.pop_front() {
                return Ok(event);
            }
            if self.outdated {
                let links = self.netlink.links().await?;
                self.compare(links);
                continue;
            }
            match self.notifications.next().await {
                Some(notification) => self.take(notification.payload),
                None => return Err(at(Operation::WatchLinks, Cause::Closed)),
            }
        }
    }

    /// The links as far as they were told.
    pub fn known(&self) -> impl Iterator<Item = &Link> {
        self.known.values()
    }

    /// The same as a stream, which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<LinkEvent, NetlinkError>> + Send {
        stream::unfold(Some(self), |monitor| async {
            let mut monitor = monitor?;
            let event = monitor.next().await;
            let rest = event.is_ok().then_some(monitor);
            Some((event, rest))
        })
    }

    fn compare(&mut self, links: Vec<Link>) {
        let mut gone = std::mem::take(&mut self.known);
        let mut told = Vec::new();
        for link in links {
            if gone.remove(&link.index).as_ref() != Some(&link) {
                told.push(LinkEvent::Present(link.clone()));
            }
            self.known.insert(link.index, link);
        }
        // Those that went come first: a new link may have taken the name of one that went.
        self.untold.extend(gone.into_values().map(LinkEvent::Gone));
        self.untold.extend(told);
        if !std::mem::replace(&mut self.listed, true) {
            self.untold.push_back(LinkEvent::Listed);
        }
        self.outdated = false;
    }

    fn take(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) {
        match payload {
            NetlinkPayload::Overrun(_) => self.outdated = true,
            // The bridge tells of its ports in the same group (AF_BRIDGE): a port that leaves is not a link that goes.
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message))
                if message.header.interface_family == AddressFamily::Unspec =>
            {
                let link = Link::from_message(&message);
                if self.known.insert(link.index, link.clone()).as_ref() != Some(&link) {
                    self.untold.push_back(LinkEvent::Present(link));
                }
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message))
                if message.header.interface_family == AddressFamily::Unspec =>
            {
                if let Some(link) = self.known.remove(&message.header.index) {
                    self.untold.push_back(LinkEvent::Gone(link));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::VethEnd;

    #[tokio::test]
    async fn what_happened_unseen_is_told_after_a_loss() {
        let namespace = Namespace::anonymous().unwrap();
        let netlink = Netlink::inside(&namespace).await.unwrap();
        netlink.create_veth(&VethEnd::named("a"), &VethEnd::named("b")).await.unwrap();
        let mut monitor = LinkMonitor::inside(&namespace).await.unwrap();
        while monitor.next().await.unwrap() != LinkEvent::Listed {}

        // From here on the kernel's notifications go nowhere, as they do when the buffer is full.
        monitor._connection.abort();
        netlink.delete_if_any("a").await.unwrap();
        netlink.create_veth(&VethEnd::named("a"), &VethEnd::named("c")).await.unwrap();
        monitor.take(NetlinkPayload::Overrun(Vec::new()));

        let mut told = Vec::new();
        for _ in 0..4 {
            told.push(match monitor.next().await.unwrap() {
                LinkEvent::Present(link) => format!("+{}", link.name),
                LinkEvent::Gone(link) => format!("-{}", link.name),
                LinkEvent::Listed => "listed again".to_owned(),
            });
        }
        told.sort();
        assert_eq!(told, ["+a", "+c", "-a", "-b"]);
        assert!(monitor.next().await.is_err(), "nothing else was left to tell");
    }
}
