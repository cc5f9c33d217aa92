//! What a link has learnt about who is where (ARP, ND).

use super::{
    Link, Netlink, NetlinkError, Operation,
    error::{Cause, at},
};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::neighbour::{NeighbourMessage, NeighbourState};

impl Netlink {
    /// Forgets what the link has learnt, and returns how many entries that were; those an administrator made stay.
    ///
    /// # Errors
    /// When the kernel refuses; entries that vanish meanwhile are no error.
    pub async fn flush_neighbours(&self, link: &Link) -> Result<usize, NetlinkError> {
        let listing = || Operation::ListNeighbours { link: link.name.clone() };
        let request = self.handle.neighbours().get();
        let entries: Vec<NeighbourMessage> =
            self.list(listing(), async move { request.execute().try_collect().await }).await?;
        let mut forgotten = 0;
        for entry in entries.into_iter().filter(|entry| entry.header.ifindex == link.index) {
            if matches!(entry.header.state, NeighbourState::Permanent | NeighbourState::Noarp) {
                continue;
            }
            let neighbour = format!("{:?}", entry.attributes.first());
            match self.handle.neighbours().del(entry).execute().await.map_err(Cause::from) {
                Ok(()) => forgotten += 1,
                Err(cause) => {
                    let error = at(Operation::DeleteNeighbour { link: link.name.clone(), neighbour }, cause);
                    if !error.is_missing() {
                        return Err(error);
                    }
                }
            }
        }
        Ok(forgotten)
    }
}
