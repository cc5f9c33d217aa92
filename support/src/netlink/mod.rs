//! The kernel's links, addresses, routes, rules and neighbours (rtnetlink), asynchronously.
//!
//! A [`Netlink`] talks to the namespace it was opened in, for ever. Links are looked up once and then changed by their
//! index, which no renaming moves; the name is carried along for messages. Wherever the kernel would be asked twice for
//! the same thing, the second time succeeds or says [`NetlinkError::is_existing`] or [`NetlinkError::is_missing`].

mod address;
mod error;
mod link;
mod link_change;
mod link_create;
mod link_value;
mod monitor;
mod neighbour;
mod route;
mod rule;
mod station;

pub use address::{Address, NewAddress};
pub use error::{Cause, NetlinkError, Operation};
pub use link::{BridgeSettings, Link, OperState};
pub use link_create::VethEnd;
pub use link_value::{AddressGeneration, HardwareAddress};
pub use monitor::{LinkEvent, LinkMonitor};
pub use route::Route;
pub use rule::SourceRule;
pub use station::Station;

use crate::netns::Namespace;
use error::at;
use rtnetlink::Handle;
use std::sync::Arc;
use tokio::sync::Mutex;

/// An open channel to one namespace's rtnetlink. Clones share it; it closes with the last of them.
#[derive(Clone)]
pub struct Netlink {
    handle: Handle,
    /// Held by the listing that is under way.
    listing: Arc<Mutex<()>>,
}

impl Netlink {
    /// Opens one in the namespace of the calling thread.
    ///
    /// # Errors
    /// When no socket can be had.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn here() -> Result<Self, NetlinkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|error| at(Operation::Open, Cause::Socket(error)))?;
        tokio::spawn(connection);
        Ok(Self { handle, listing: Arc::default() })
    }

    /// Opens one in another namespace.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or no socket can be had.
    pub async fn inside(namespace: &Namespace) -> Result<Self, NetlinkError> {
        namespace.run(Self::here).await.map_err(|error| at(Operation::Open, Cause::Namespace(error)))?
    }
}

impl Netlink {
    /// Lists, when no other listing is under way: the kernel answers EBUSY to a second one on the same socket
    /// (`__netlink_dump_start` in net/netlink/af_netlink.c). A listing whose caller has gone away is finished all the same,
    /// or the next one would meet what is left of it.
    async fn list<T, F>(&self, operation: Operation, listing: F) -> Result<T, NetlinkError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, rtnetlink::Error>> + Send + 'static,
    {
        let turn = Arc::clone(&self.listing).lock_owned().await;
        let finished = tokio::spawn(async move {
            let listed = listing.await;
            drop(turn);
            listed
        });
        match finished.await {
            Ok(listed) => listed.map_err(|error| at(operation, error)),
            // The runtime is shutting down.
            Err(_) => Err(at(operation, Cause::Closed)),
        }
    }
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Netlink")
    }
}
