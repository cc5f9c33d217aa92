//! What every channel comes through, whatever its transport.

use super::stream::{Bytes, ChannelStream};
use crate::daemon::Host;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use nestless_model::identity::VmName;
use std::{num::NonZeroU32, sync::Arc};
use tokio::sync::mpsc;

/// How often one VM may open a channel. An agent whose connection breaks waits before it dials again.
const OPENINGS: Quota = Quota::per_second(NonZeroU32::new(5).expect("not zero"))
    .allow_burst(NonZeroU32::new(40).expect("not zero"));

/// Where open channels go, whatever they came by.
#[derive(Clone)]
pub(super) struct Entrance {
    host: Arc<Host>,
    streams: mpsc::Sender<ChannelStream>,
    openings: Arc<DefaultKeyedRateLimiter<VmName>>,
}

impl Entrance {
    /// The entrance, and where what comes in by it arrives.
    pub(super) fn new(host: &Arc<Host>) -> (Self, mpsc::Receiver<ChannelStream>) {
        let (sender, streams) = mpsc::channel(16);
        let openings = Arc::new(RateLimiter::keyed(OPENINGS));
        (Self { host: Arc::clone(host), streams: sender, openings }, streams)
    }

    /// Takes a channel of a VM in, or closes it when the VM has too many or comes too often. False when the daemon stops.
    pub(super) async fn admit(&self, io: impl Bytes + 'static, vm: &VmName) -> bool {
        if self.openings.check_key(vm).is_err() || !self.host.agents.open_channel(vm) {
            tracing::debug!(%vm, "one channel too many; closed");
            return true;
        }
        tracing::debug!(%vm, "channel open");
        self.streams.send(ChannelStream::new(io, vm, &self.host)).await.is_ok()
    }
}
